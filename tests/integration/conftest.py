"""A database for each test: a SQLite file, and a real PostgreSQL server where its programs are installed."""

from collections.abc import Iterator
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
