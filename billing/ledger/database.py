"""The SQL database: SQLite in the home by default, PostgreSQL by URL.

One writer at a time, on both: `writing` takes the lock before its first read (SQLite BEGIN IMMEDIATE, PostgreSQL an
advisory lock), so what a transaction has checked still holds when it commits. `reading` sees one state of the database
from its first query to its last and keeps nobody waiting. Both open a connection and close it, so there is nothing else
to close, and a server that was restarted in between is no matter.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, inspect, make_url, text
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine as Engine
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.pool import NullPool

import billing
from billing.errors import BillingError, UsageError

# Alembic takes as long to import as SQLAlchemy; only an upgrade needs it.
if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_SECONDS = 30

# Any constant: whoever writes to this database asks for the same one.
_WRITER_LOCK = 0x62696C6C696E67

_NOT_WRITABLE = (
    "see that the file is there and that you may write to it and to its directory, and run the command again"
)
_ADVICE = {
    "database is locked": "another program is writing to it; run the command again when that has finished",
    "database or disk is full": "make room on the disk and run the command again",
    "unable to open database file": _NOT_WRITABLE,
    "attempt to write a readonly database": _NOT_WRITABLE,
}


def open_database(url: str) -> Engine:
    """The database at `url`, checked to be there and of this version; a `BillingError` says what to run otherwise."""
    engine = _engine(url)
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


def upgrade(url: str) -> None:
    """Creates the tables, or brings them up to this version: all in one transaction, and nothing when they are."""
    from alembic import command

    with migrating(url) as conn:
        command.upgrade(migration_config(conn), "head")


@contextmanager
def migrating(url: str) -> Iterator[Connection]:
    """The transaction in which tables are changed."""
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
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


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            "the database URL cannot be read: give sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+pysqlite":
            return _sqlite(parsed)
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return _postgresql(parsed)
    raise UsageError(
        f"no database of the kind {parsed.drivername!r}: give sqlite:///FILE or postgresql://USER@HOST/NAME"
    )


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
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    except ModuleNotFoundError:
        raise BillingError("the PostgreSQL driver is missing: install billing[postgresql]") from None


def _sqlite_file(engine: Engine) -> Path | None:
    return Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None


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
    """A database that cannot be reached, read or written to is an error of one line, without the password."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except (DatabaseError, driver.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        # The driver's other errors are about a statement: a broken constraint, or a bug.
        if not isinstance(cause, driver.OperationalError) and type(cause) is not driver.DatabaseError:
            raise
        reason = str(cause).strip().splitlines()[0]
        advice = _ADVICE.get(reason, "put that right and run the command again")
        raise BillingError(f"the database at {_shown(engine.url)} failed ({reason}): {advice}") from error


def _shown(url: URL) -> str:
    """The URL without its password and its parameters, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)
