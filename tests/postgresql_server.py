"""A PostgreSQL server that is started for tests and benchmarks, and stopped after them."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def started_postgresql(more_settings: str = "") -> Iterator[str | None]:
    """Starts a server with an empty cluster and gives the URL of its database; None where there is no PostgreSQL."""
    programs = server_programs()
    if programs is None:
        yield None
        return
    # Not in tmp_path: a server refuses to run as root, and another user may not enter there.
    with tempfile.TemporaryDirectory(prefix="billing-postgresql-") as directory:
        user = server_user()
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


def server_programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; None: there is no PostgreSQL."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").is_file() and (place / "pg_ctl").is_file()), None)


def server_user() -> str | None:
    """Whom to run the server as, when the tests run as root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if Path("~postgres").expanduser() != Path("~postgres") else "nobody"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
