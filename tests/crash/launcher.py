"""Processes of `billing` by the hundred: a process that has imported everything forks one for each command.

It has started no thread pool of its own (nothing was computed), so what it forks is as good as new. One request is one
line of JSON on stdin, and one line of JSON on stdout answers it.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

# A pool of threads that a library starts when it is imported would be missing in the children.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

# All that any command imports when it runs.
import alembic.autogenerate
import alembic.command  # noqa: F401
import psycopg  # noqa: F401
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401
import tqdm  # noqa: F401

import billing.account_month
import billing.books
import billing.ingest
import billing.nightly
import billing.storage.catalog_store
import billing.usage  # noqa: F401
from cli import main
from tests.crash.steps import Fate, run, unavailable


def serve() -> None:
    """Says why it cannot, or null; then answers requests until stdin ends."""
    print(json.dumps(unavailable()), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        course = run(lambda request=request: _command(**request), Path(request["directory"]), Fate(**request["fate"]))
        print(json.dumps(asdict(course)), flush=True)


def _command(*, arguments: list[str], directory: str, environment: dict[str, str], **_: Any) -> None:
    """One command; what it prints goes to files beside the home."""
    os.environ.update(environment)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(os.path.join(os.path.dirname(directory), name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
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
