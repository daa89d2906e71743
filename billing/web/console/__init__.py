"""The console: the service's pages for people.

Every page is made on the server, works without JavaScript, and shows what the reports say. A browser logs in with a
token; the operator sees all accounts, a customer its own. A module `<noun>_screen` has the routes of one screen.
"""
