"""Limits that several rooms share: an id or a size that one of them accepts is accepted by all."""

# Every program reads whole numbers up to here exactly, also those that keep numbers as floating point.
LARGEST_APP_ID = 2**53
# What a database keeps in 64 bits.
LARGEST_NUMBER = 2**63 - 1
# Pixels of one side of a picture.
LONGEST_SIDE = 16_384
# The value-added services that a task may be of: what its events name, and what a policy has items and prices for.
SERVICES = ("recording", "mix-h264", "mix-h265")
