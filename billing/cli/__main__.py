"""Runs the `billing` command as `python -m billing.cli`; spark-submit takes this file."""

from billing.cli import main

if __name__ == "__main__":
    main(prog_name="billing")
