"""Runs the `billing` command from a checkout: `python cli.py`; installed, it is `billing`."""

from billing.cli import main

if __name__ == "__main__":
    main()
