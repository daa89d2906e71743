"""Processes of `billing` by the hundred: a process that has imported everything forks one for each command.

It has started no thread pool of its own (nothing was computed), so what it forks is as good as new. One request is one
line of JSON on stdin, and one line of JSON on stdout answers it.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

# A pool of threads that a library starts when it is imported would be missing in the children.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# All that any command imports when it runs.
import alembic.autogenerate
import alembic.command  # noqa: F401
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

import billing.jobs.ingest
import billing.jobs.nightly
import billing.jobs.watch
import billing.ledger.annexes
import billing.ledger.catalog_store
import billing.reports.account
import billing.reports.usage  # noqa: F401
from billing.cli.main import main
from tests.crash.steps import Course, Fate, run, run_together, unavailable


def serve() -> None:
    """Says why it cannot, or null; then answers requests until stdin ends."""
    print(json.dumps(unavailable()), flush=True)
    for line in sys.stdin:
        print(json.dumps([asdict(course) for course in _courses(**json.loads(line))]), flush=True)


def _courses(*, commands: list[dict[str, Any]], directory: str, fate: dict[str, Any]) -> list[Course]:
    """One command that meets its fate, or several at the same time."""
    works = [partial(_command, **command) for command in commands]
    return run_together(works) if len(works) > 1 else [run(works[0], Path(directory), Fate(**fate))]


def _command(*, arguments: list[str], environment: dict[str, str], output: str) -> None:
    """One command; what it prints goes to files whose names begin with `output`."""
    os.environ.update(environment)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    try:
        main(args=arguments, prog_name="billing")
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve()
