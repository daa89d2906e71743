"""The command line."""

from billing.cli.main import main as main
