"""A database for each test: a SQLite file, and a real PostgreSQL server where its programs are installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from billing.ledger.database import open_database, upgrade

_numbers = count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of its own, as a user would write it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'billing.db'}"
        return
    # A schema of its own is as empty as a database of its own, and made two hundred times faster.
    server_url = request.getfixturevalue("postgresql_server")
    name = f"test_{next(_numbers)}"
    admin = create_engine(server_url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text(f"CREATE SCHEMA {name}"))
    yield f"{server_url}?options=-csearch_path%3D{name}"
    with admin.connect() as conn:
        conn.execute(text(f"DROP SCHEMA {name} CASCADE"))
    admin.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with its tables."""
    upgrade(database_url)
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of the database of a server that is started for these tests."""
    with started_postgresql("-c fsync=off") as url:
        if url is None:
            reason = "install PostgreSQL (initdb and pg_ctl on the PATH or in /usr/lib/postgresql) to test on it too"
            if os.environ.get("BILLING_REQUIRE_POSTGRESQL") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        yield url


@contextmanager
def started_postgresql(more_settings: str = "") -> Iterator[str | None]:
    """Starts a server with an empty cluster and gives the URL of its database; None where there is no PostgreSQL."""
    programs = _postgresql_programs()
    if programs is None:
        yield None
        return
    # Not in tmp_path: a server refuses to run as root, and another user may not enter there.
    with tempfile.TemporaryDirectory(prefix="billing-postgresql-") as directory:
        user = _server_user()
        if user:
            shutil.chown(directory, user)
        port = _free_port()

        def run(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", f"{directory}/cluster", *arguments]
            # Its output goes to a file: a server that is started keeps a pipe open for ever.
            with open(f"{directory}/{program}.log", "ab") as log:
                subprocess.run(command, user=user, cwd=directory, check=True, stdout=log, stderr=log)

        run("initdb", "--username=billing", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' {more_settings}"
        run("pg_ctl", "start", "--wait", "-l", f"{directory}/server.log", "-o", settings)
        try:
            yield f"postgresql://billing@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "--wait", "-m", "immediate")


def _postgresql_programs() -> Path | None:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").is_file() and (place / "pg_ctl").is_file()), None)


def _server_user() -> str | None:
    """Whom to run the server as, when the tests run as root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if Path("~postgres").expanduser() != Path("~postgres") else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
