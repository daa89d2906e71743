"""The database on real SQLite and real PostgreSQL: set-up, upgrades, its lock, and what it says when it fails."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, select, text
from sqlalchemy.exc import IntegrityError

from billing.errors import BillingError, UsageError
from billing.storage import database
from billing.storage.database import migrating, migration_config, open_database, reading, upgrade, writing
from billing.storage.tables import account, app, metadata

ACME = {"id": "acme", "name": "Acme K.K.", "currency": "USD", "timezone": "Asia/Tokyo"}


def _table_names(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_an_upgrade_from_empty_makes_every_table(engine: Engine) -> None:
    assert _table_names(engine) == set(metadata.tables) | {"alembic_version"}


def test_a_second_upgrade_changes_nothing(engine: Engine, database_url: str) -> None:
    with writing(engine) as conn:
        conn.execute(account.insert(), ACME)
    upgrade(database_url)
    with reading(engine) as conn:
        assert conn.execute(select(account.c.id)).all() == [("acme",)]


def test_the_migrations_make_the_tables_that_the_program_expects(engine: Engine) -> None:
    with writing(engine) as conn:
        command.check(migration_config(conn))


def test_the_migrations_make_the_same_checks_and_keys_as_the_tables_say(tmp_path: Path) -> None:
    """Alembic's own comparison does not look at CHECKs; SQLite keeps the statement that made a table."""

    def statements(file: Path) -> set[str]:
        with sqlite3.connect(file) as conn:
            rows = conn.execute(
                "SELECT replace(sql, '\"', '') FROM sqlite_master"
                " WHERE sql IS NOT NULL AND name <> 'alembic_version' AND type <> 'trigger'"
            )
            found = {_sorted_lines(sql) for (sql,) in rows}
        conn.close()
        return found

    def _sorted_lines(sql: str) -> str:
        return "\n".join(sorted(line.strip().rstrip(",") for line in sql.splitlines()))

    upgrade(f"sqlite:///{tmp_path / 'migrated.db'}")
    created = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(created)
    created.dispose()
    assert statements(tmp_path / "migrated.db") == statements(tmp_path / "created.db")


def test_every_migration_can_be_taken_back_and_made_again(engine: Engine, database_url: str) -> None:
    with migrating(database_url) as conn:
        command.downgrade(migration_config(conn), "base")
    assert _table_names(engine) == {"alembic_version"}
    with writing(engine) as conn:
        command.upgrade(migration_config(conn), "head")
        command.check(migration_config(conn))


def test_the_newest_migration_is_the_last_file(engine: Engine) -> None:
    with reading(engine) as conn:
        scripts = ScriptDirectory.from_config(migration_config(conn))
    assert scripts.get_current_head() == database._newest_revision()


def test_programs_that_upgrade_at_the_same_time_all_succeed(database_url: str) -> None:
    failures = _at_once(4, lambda: upgrade(database_url))
    assert failures == []
    assert "settled_day" in _table_names(open_database(database_url))


def test_a_database_without_tables_names_the_command_that_makes_them(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        Path(database_url.removeprefix("sqlite:///")).touch()
    with pytest.raises(BillingError, match="has no tables: run `billing init` first"):
        open_database(database_url)


def test_a_missing_file_names_the_command_that_makes_it_and_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(BillingError, match=r"there is no database at .*none\.db: run `billing init` first"):
        open_database(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("revision", "advice"), [("0000", "run `billing init` to upgrade it"), ("9999", "install the newer `billing`")]
)
def test_a_database_of_another_version_says_what_to_do(
    engine: Engine, database_url: str, revision: str, advice: str
) -> None:
    with writing(engine) as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    with pytest.raises(BillingError, match=advice):
        open_database(database_url)


def test_an_unreachable_server_is_one_line_without_the_password() -> None:
    with pytest.raises(BillingError) as failure:
        open_database("postgresql://billing:secret@127.0.0.1:1/billing?password=secret")
    message = str(failure.value)
    assert message.startswith("the database at postgresql+psycopg://billing:***@127.0.0.1:1/billing failed")
    assert "secret" not in message
    assert "\n" not in message


@pytest.mark.parametrize("make", [open_database, upgrade])
def test_a_file_that_is_no_database_is_one_line(make: Callable[[str], object], tmp_path: Path) -> None:
    file = tmp_path / "billing.db"
    file.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(BillingError, match=r"failed \(file is not a database\): put that right"):
        make(f"sqlite:///{file}")


def test_a_home_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BillingError, match="unable to open database file"):
        upgrade(f"sqlite:///{tmp_path / 'missing' / 'billing.db'}")


@pytest.mark.parametrize("url", ["", "billing.db", "mysql://localhost/billing", "sqlite://", "sqlite:///:memory:"])
def test_a_url_of_no_known_kind_says_what_to_give(url: str) -> None:
    with pytest.raises(UsageError, match="give sqlite:///FILE"):
        open_database(url)


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    def write_it_twice() -> None:
        with writing(engine) as conn:
            conn.execute(account.insert(), ACME)
            conn.execute(account.insert(), ACME)

    with pytest.raises(IntegrityError):
        write_it_twice()
    with reading(engine) as conn:
        assert conn.execute(select(account)).all() == []


def test_a_row_that_refers_to_nothing_is_refused(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as conn:
        conn.execute(app.insert(), {"id": 1, "account_id": "nobody", "name": "Classroom"})


def test_a_reader_sees_one_state_while_others_write(engine: Engine) -> None:
    with reading(engine) as reader:
        before = reader.execute(select(account.c.id)).all()
        with writing(engine) as conn:
            conn.execute(account.insert(), ACME)
        assert reader.execute(select(account.c.id)).all() == before == []


def test_writers_wait_for_each_other_and_none_is_lost(engine: Engine) -> None:
    """Each reads the names so far and adds one more: without a lock, two of them would add the same."""

    def add_one() -> None:
        with writing(engine) as conn:
            known = len(conn.execute(select(account.c.id)).all())
            conn.execute(account.insert(), {**ACME, "id": f"account-{known}"})

    assert _at_once(8, add_one) == []
    with reading(engine) as conn:
        assert len(conn.execute(select(account.c.id)).all()) == 8


def _at_once(times: int, action: Callable[[], object]) -> list[Exception]:
    """Runs `action` in as many threads and returns what they raised."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            action()
        except (BillingError, IntegrityError) as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures
