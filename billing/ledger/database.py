"""The SQL database: SQLite in the home by default, PostgreSQL by URL.

One writer at a time, on both: `writing` takes the lock before its first read (SQLite BEGIN IMMEDIATE, PostgreSQL an
advisory lock), so what a transaction has checked still holds when it commits. `reading` sees one state of the database
from its first query to its last and keeps nobody waiting. Both open a connection and close it, so there is nothing else
to close, and a server that was restarted in between is no matter.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, inspect, make_url, text
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine as Engine
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

import billing
from billing.errors import BillingError, DatabaseError, UsageError

# Alembic takes as long to import as SQLAlchemy; only an upgrade needs it.
if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_SECONDS = 30

# Any constant: whoever writes to this database asks for the same one.
_WRITER_LOCK = 0x62696C6C696E67

_NOT_WRITABLE = (
    "see that the file is there and that you may write to it and to its directory, and run the command again"
)
_HOW_TO_NAME = "give sqlite:///FILE or postgresql://USER@HOST/NAME"
_ADVICE = {
    "database is locked": "another program is writing to it; run the command again when that has finished",
    "database or disk is full": "make room on the disk and run the command again",
    "unable to open database file": _NOT_WRITABLE,
    "attempt to write a readonly database": _NOT_WRITABLE,
    "read-only transaction": "this server only reads (a standby); name the primary server",
    "permission denied": "grant its user what is missing, or name another user",
    "does not exist": "see that the URL names the right database; restore what is missing from a backup",
    "no such table": "restore the database from a backup",
    "no such column": "restore the database from a backup",
}
_TRY_AGAIN = "put that right and run the command again"


def open_database(database: str | Path) -> Engine:
    """The database at a URL, or in a SQLite file, checked to be there and of this version; a `BillingError` says what
    to run otherwise."""
    engine = _engine(database)
    file = _sqlite_file(engine)
    if file and not file.is_file():
        raise BillingError(f"there is no database at {_shown(engine.url)}: run `billing init` first")
    if file:
        event.listen(engine, "do_connect", _refuse_to_create)
    with _failing_clearly(engine), engine.connect() as conn:
        found = _revision(conn)
    if found is None:
        raise BillingError(f"the database at {_shown(engine.url)} has no tables: run `billing init` first")
    if found < _newest_revision():
        raise BillingError(
            f"the database at {_shown(engine.url)} is of an older version: run `billing init` to upgrade it"
        )
    if found > _newest_revision():
        raise BillingError(
            f"the database at {_shown(engine.url)} is of a newer version than this program: install the newer `billing`"
        )
    return engine


def upgrade(database: str | Path) -> None:
    """Creates the tables, or brings them up to this version: all in one transaction, and nothing when they are."""
    from alembic import command

    with migrating(database) as conn:
        command.upgrade(migration_config(conn), "head")


@contextmanager
def migrating(database: str | Path) -> Iterator[Connection]:
    """The transaction in which tables are changed."""
    engine = _engine(database)
    if file := _sqlite_file(engine):
        _create_private(file)
        # SQLite changes a table by making it anew; what refers to it is looked at again afterwards.
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = OFF"))
    with writing(engine) as conn:
        yield conn
        if engine.dialect.name == "sqlite" and conn.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise AssertionError("the migration has left rows that refer to nothing")


def migration_config(conn: Connection) -> "Config":
    """The configuration of alembic for the migrations of this package, run on `conn`."""
    from alembic.config import Config

    config = Config(attributes={"connection": conn})
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    return config


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection whose queries all see the same state of the database."""
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    with _failing_clearly(engine), engine.connect() as conn:
        yield conn


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction of the only writer: committed at the end, or rolled back whole when anything is raised."""
    with _failing_clearly(engine), engine.execution_options(billing_writes=True).begin() as conn:
        if engine.dialect.name == "postgresql":
            conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITER_LOCK})
        yield conn


def _engine(database: str | Path) -> Engine:
    if isinstance(database, Path):
        return _sqlite(URL.create("sqlite", database=str(database)))
    try:
        parsed = make_url(database)
    except (ArgumentError, ValueError):
        raise UsageError(f"the database URL cannot be read: {_HOW_TO_NAME}") from None
    if parsed.host and "@" in parsed.host:
        raise UsageError("the database URL has an @ in its password: write it as %40, or keep it in ~/.pgpass")
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return _sqlite(parsed)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return _postgresql(parsed)
    raise UsageError(f"no database of the kind {parsed.drivername!r}: {_HOW_TO_NAME}")


def _sqlite(url: URL) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise UsageError("the database must be a file: give sqlite:///FILE")
    timeout = {} if "timeout" in url.query else {"timeout": BUSY_TIMEOUT_SECONDS}
    engine = create_engine(url, poolclass=NullPool, connect_args=timeout)

    # Python's driver would begin a transaction at the first write only, and one that has read before it writes
    # fails at once when another one wrote in between; so it begins none, and `begin` names the kind.
    @event.listens_for(engine, "connect")
    def prepare(connection: SqliteConnection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        # With a write-ahead log readers do not wait for the writer; the file remembers it.
        connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        writes = conn.get_execution_options().get("billing_writes")
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _refuse_to_create(_dialect: object, _record: object, arguments: list[str], options: dict[str, object]) -> None:
    """SQLite would make an empty file in place of one that was removed while the program runs."""
    arguments[0] = f"{Path(arguments[0]).absolute().as_uri()}?mode=rw"
    options["uri"] = True


def _postgresql(url: URL) -> Engine:
    """`prepare_threshold` in the URL: after how many uses a statement is prepared; 0 or `none`: never (pgbouncer)."""
    threshold = url.query.get("prepare_threshold", "5")
    if threshold not in ("0", "none") and not str(threshold).isdecimal():
        raise UsageError("prepare_threshold in the database URL must be a number, 0 or none (for pgbouncer)")
    options = {
        "prepare_threshold": None if threshold in ("0", "none") else int(str(threshold)),
        "client_encoding": "utf8",
    }
    address = url.difference_update_query(["prepare_threshold"]).set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(address, poolclass=NullPool, connect_args=options)
    except ModuleNotFoundError:
        raise BillingError("the PostgreSQL driver is missing: install billing[postgresql]") from None
    event.listen(engine, "do_connect", _connect_to_utf8)
    return engine


def _connect_to_utf8(dialect: Any, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Names are Unicode: a database of another encoding could not store them all."""
    connection = dialect.connect(*arguments, **options)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise BillingError(
            f"the database has the encoding {encoding}, which cannot hold every name: "
            "create one with ENCODING 'UTF8' TEMPLATE template0"
        )
    return connection


def _sqlite_file(engine: Engine) -> Path | None:
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


def _create_private(file: Path) -> None:
    """An empty file that only its owner may read; SQLite makes its other files like it."""
    with suppress(OSError):  # it is there, or cannot be made: SQLite says which
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _migrations() -> Path:
    """`migrations/` inside the installed package, or beside it in a checkout."""
    package = Path(billing.__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _newest_revision() -> str:
    """Migrations are numbered: the newest is the one of the last file, `0001` of `0001_first_tables.py`."""
    return max(file.name[:4] for file in (_migrations() / "versions").glob("[0-9]*.py"))


def _revision(conn: Connection) -> str | None:
    if not inspect(conn).has_table("alembic_version"):
        return None
    revision: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


@contextmanager
def _failing_clearly(engine: Engine) -> Iterator[None]:
    """Whatever the driver reports is an error of one line that says what to do, without a password or a statement; but
    a constraint of ours that is broken is a bug of the program, or somebody who changes the database by hand."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except (DBAPIError, driver.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, driver.IntegrityError):
            raise
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        advice = next((advice for part, advice in _ADVICE.items() if part in reason), _TRY_AGAIN)
        raise DatabaseError(f"the database at {_shown(engine.url)} failed ({reason}): {advice}") from error


def _shown(url: URL) -> str:
    """The URL without its password and its parameters, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)
