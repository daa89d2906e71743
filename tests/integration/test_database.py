"""The database on real SQLite and real PostgreSQL: set-up, upgrades, its lock, and what it says when it fails."""

import os
import sqlite3
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from billing.catalog.canonical import entry_source
from billing.catalog.catalog import Account
from billing.catalog.sellers import Seller
from billing.errors import BillingError, UsageError
from billing.ledger import database
from billing.ledger.account_ledger import AccountLedger
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import migrating, migration_config, open_database, reading, upgrade, writing
from billing.ledger.runs import latest_runs
from billing.ledger.tables import account, app, metadata
from tests.commands import ROOT

ACME = {
    "id": "acme",
    "name": "Acme K.K.",
    "currency": "USD",
    "timezone": "Asia/Tokyo",
    "pay_as_you_go": True,
    "language": "en",
    "mode": "invoice",
}


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


def test_days_that_were_settled_before_corrections_existed_stay_as_they_were(database_url: str) -> None:
    """A database of the first version, with a day that took 5 free minutes and let 7 units of a package lapse."""
    with migrating(database_url) as conn:
        command.upgrade(migration_config(conn), "0001")
        for statement in _OLD_DAY:
            conn.execute(text(statement))
    upgrade(database_url)
    with reading(open_database(database_url)) as conn:
        assert conn.execute(text("SELECT kind, run_id, posted_on, cause, amount_scaled FROM charge")).all() == [
            ("usage", 3, _as_stored(conn, date(2026, 3, 1)), None, 399000)
        ]
        for table in ("burn_down", "lapse"):
            found = conn.execute(text(f"SELECT kind, run_id, posted_on, package_minutes FROM {table}")).all()  # noqa: S608
            assert found == [("usage", 3, _as_stored(conn, date(2026, 3, 1)), 5 if table == "burn_down" else 7)]
        assert conn.execute(text("SELECT run_id, minutes FROM free_grant")).all() == [(3, 10)]
        assert [(run.id, run.day, run.policy_hash) for run in latest_runs(conn, 9)] == [(3, date(2026, 3, 1), "h")]
        assert list(AccountLedger(conn=conn, account_id="acme").settled_days()) == [date(2026, 3, 1)]
    with pytest.raises(DatabaseError, match="written once"), writing(open_database(database_url)) as conn:
        conn.execute(text("DELETE FROM charge"))
    with migrating(database_url) as conn:
        command.downgrade(migration_config(conn), "0001")
        assert conn.execute(text("SELECT remaining FROM burn_down")).all() == [(5,)]
    upgrade(database_url)


def _as_stored(conn: Connection, day: date) -> object:
    """A day as plain SQL shows it."""
    return day if conn.dialect.name == "postgresql" else day.isoformat()


def test_catalogs_kept_as_text_become_normalised_values_and_refuse_changes_again(database_url: str) -> None:
    """A database of the second version; the trigger that the upgrade switches off is on again."""
    kept = text("INSERT INTO catalog_change (applied_at_ms, source) VALUES (:at, :source)")
    app = '[[app]]\nid = 5\naccount = "acme"\nname = "Lobby"\n'
    with migrating(database_url) as conn:
        command.upgrade(migration_config(conn), "0002")
        conn.execute(kept, {"at": 1, "source": app})
    upgrade(database_url)
    engine = open_database(database_url)
    empty = '"account":[],"app":[{"account":"acme","id":5,"name":"Lobby"}],"contract":[],"package":[],"policy":[]'
    with reading(engine) as conn:
        assert conn.execute(text("SELECT source FROM catalog_change")).scalars().all() == [
            f'{{"applied":{{{empty}}},"version":1}}'
        ]
        assert list(load_catalog(conn, as_of_ms=1).apps) == [5]
    for change in ("UPDATE catalog_change SET applied_at_ms = 2", "DELETE FROM catalog_change"):
        with pytest.raises(DatabaseError, match="catalog_change is written once"), writing(engine) as conn:
            conn.execute(text(change))
    with migrating(database_url) as conn:
        command.downgrade(migration_config(conn), "0002")
        downgraded = conn.execute(text("SELECT source FROM catalog_change")).scalar_one()
    assert tomllib.loads(downgraded) == tomllib.loads(app)


_OLD_CATALOG = (
    "INSERT INTO seller VALUES (1, 'Rooms \"AG\"', 'Hafen 1' || :line_break || 'Zürich')",
    "INSERT INTO account VALUES ('acme', 'Acme', 'USD', 'Asia/Tokyo', NULL, 'PT2H')",
    "INSERT INTO account VALUES ('west', 'West', 'USD', 'America/Los_Angeles', 'Pier 1', NULL)",
    "INSERT INTO account_terms VALUES ('acme', '0001-01-01', 'trtc-intl', NULL)",
    "INSERT INTO account_terms VALUES ('west', '0001-01-01', 'trtc-intl', 5)",
    "INSERT INTO package (id, account_id, minutes, purchased_at, term, valid_from, valid_to)"
    " VALUES ('pkg', 'acme', 100, '2026-03-01T00:00:00+09:00', 'year', '2026-03-01', '2027-03-31')",
    "INSERT INTO run (id, command, account_id, day, started_at_ms, finished_at_ms, engine_version, ingest_id, counts,"
    " result, detail) VALUES (3, 'nightly', 'acme', '2026-03-01', 1, 2, '0.3.0', 1, '{}', 'billed', '')",
    "INSERT INTO settled_day VALUES ('acme', '2026-03-01', 3, 'p', 'h', 1, 2)",
)


def test_the_catalog_of_0_3_0_gets_what_invoices_need(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the upgrade it is April in Tokyo and still March in Los Angeles. What a settled day rests on stays guarded."""
    monkeypatch.setenv("BILLING_NOW", "2026-03-31T20:00:00Z")
    with migrating(database_url) as conn:
        command.upgrade(migration_config(conn), "0006")
        for statement in _OLD_CATALOG:
            conn.execute(text(statement), {"line_break": "\n"} if ":line_break" in statement else {})
    upgrade(database_url)
    engine = open_database(database_url)
    seller = Seller(id="seller", name='Rooms "AG"', address="Hafen 1\nZürich")
    with reading(engine) as conn:
        catalog = load_catalog(conn)
        source = conn.execute(text("SELECT source FROM catalog_entry")).scalar_one()
    assert catalog.sellers == {"seller": seller}
    assert source == entry_source(seller)
    terms = {"currency": "USD", "policy": "trtc-intl"}
    acme = Account(id="acme", name="Acme", timezone="Asia/Tokyo", hold_if_silent="PT2H", **terms)
    west = Account(id="west", name="West", timezone="America/Los_Angeles", address="Pier 1", free_minutes=5, **terms)
    assert catalog.accounts == {
        "acme": replace(acme, invoices_from=date(2026, 4, 1)),
        "west": replace(west, invoices_from=date(2026, 3, 1)),
    }
    assert catalog.packages["pkg"].charge == "external"
    for change in ("UPDATE account SET currency = 'EUR' WHERE id = 'acme'", "UPDATE package SET minutes = 7"):
        with pytest.raises(DatabaseError, match="days are billed with this"), writing(engine) as conn:
            conn.execute(text(change))
    with writing(engine) as conn:
        conn.execute(text("UPDATE account SET currency = 'EUR' WHERE id = 'west'"))
    with migrating(database_url) as conn:
        command.downgrade(migration_config(conn), "0006")
        assert conn.execute(text("SELECT name, address FROM seller")).one() == ('Rooms "AG"', "Hafen 1\nZürich")
    for change in ("UPDATE account SET currency = 'EUR' WHERE id = 'acme'", "UPDATE package SET minutes = 7"):
        with pytest.raises(DatabaseError, match="days are billed with this"), migrating(database_url) as conn:
            conn.execute(text(change))


_OLD_DAY = (
    "INSERT INTO account VALUES ('acme', 'Acme', 'USD', 'Asia/Tokyo', NULL)",
    "INSERT INTO run VALUES (3, 'nightly', 'acme', '2026-03-01', 1, 2, '0.1.0', 'p', 'h', 'x', 1, 1, '{}', 'billed',"
    " '')",
    "INSERT INTO settled_day VALUES ('acme', '2026-03-01', 3, 'p', 'h')",
    "INSERT INTO charge VALUES ('acme', '2026-03-01', 1, 'hd', 'usage', 3, 60, 1, 0, 1, 399000, NULL, 399000, 'USD')",
    "INSERT INTO burn_down VALUES ('acme', '2026-03-01', 'free-2026-03', 5, 5)",
    "INSERT INTO free_grant VALUES ('acme', '2026-03-01', 10)",
    "INSERT INTO lapse VALUES ('acme', 'pkg', '2026-03-01', 7)",
)


def test_alembic_itself_finds_no_difference(tmp_path: Path) -> None:
    """As somebody who changes the tables runs it, in a checkout."""
    environment = {**os.environ, "BILLING_DATABASE_URL": f"sqlite:///{tmp_path / 'billing.db'}"}
    for line in ("upgrade head", "check", "downgrade base", "upgrade head", "check"):
        program = [sys.executable, "-m", "alembic", *line.split()]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://billing:se@cret@127.0.0.1:1/billing",
        "postgresql://billing:secret@127.0.0.1:port/billing",
        "postgresql://billing:secret@127.0.0.1:1/billing?prepare_threshold=soon",
        "postgresql://billing:secret@[::1/billing",
    ],
)
def test_a_url_that_cannot_be_meant_is_wrong_usage_and_shows_no_password(url: str) -> None:
    with pytest.raises(UsageError) as failure:
        open_database(url)
    assert "cret" not in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("threshold", ["0", "none", "7"])
def test_statements_are_prepared_only_where_the_url_lets_them_be(postgresql_server: str, threshold: str) -> None:
    """A connection pooler such as pgbouncer hands a session from one client to the next."""
    engine = database._engine(f"{postgresql_server}?prepare_threshold={threshold}")
    with reading(engine) as conn:
        driver_connection: Any = conn.connection.driver_connection
        assert driver_connection.prepare_threshold == {"0": None, "none": None, "7": 7}[threshold]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_name_is_refused(postgresql_server: str, encoding: str) -> None:
    admin = create_engine(postgresql_server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text(f"CREATE DATABASE {encoding} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"))
    admin.dispose()
    with pytest.raises(BillingError, match=f"has the encoding {encoding}, .* create one with ENCODING 'UTF8'"):
        upgrade(postgresql_server.rpartition("/")[0] + f"/{encoding.lower()}")


def test_a_table_that_was_dropped_is_one_line(engine: Engine) -> None:
    with writing(engine) as conn:
        conn.execute(text("DROP TABLE carried_state"))
    with pytest.raises(BillingError, match="restore") as failure, reading(engine) as conn:
        conn.execute(text("SELECT * FROM carried_state"))
    assert "SELECT" not in str(failure.value)


def test_a_user_without_rights_is_told_to_get_them(postgresql_server: str) -> None:
    upgrade(postgresql_server)
    admin = create_engine(postgresql_server.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with admin.connect() as conn:
        conn.execute(text("CREATE ROLE nobody LOGIN"))
    admin.dispose()
    url = make_url(postgresql_server).set(username="nobody").render_as_string()
    with pytest.raises(BillingError, match=r"permission denied.*: grant its user what is missing"):
        open_database(url)


def test_a_server_that_only_reads_is_named_as_such(postgresql_server: str) -> None:
    """As a standby does."""
    engine = database._engine(f"{postgresql_server}?options=-cdefault_transaction_read_only%3Don")
    with pytest.raises(BillingError, match="this server only reads"), writing(engine) as conn:
        conn.execute(text("CREATE TABLE more ()"))


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
