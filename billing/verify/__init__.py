"""The second engine: what was billed, computed again by other code, and compared row by row.

It takes nothing from `billing.metering` and `billing.rating`, and reads the database and the log itself. `rooms`,
`money` and `roots` need nothing but the standard library: together with `bundle_program` they are the `verify.py` of a
bundle.
"""
