"""Settled days keep their bounds, runs name the commit that they read up to, and what bills rest on is guarded."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_DAY_SECONDS = 86_400
_SETTLED_FROM = "EXISTS (SELECT 1 FROM settled_day WHERE account_id = OLD.account_id AND day >= OLD.valid_from)"
# What is counted in package minutes is called so everywhere.
_COUNTED = ("deduction", "deduction_correction", "burn_down", "lapse")
# Of each table the columns that bills rest on, and when they do.
_GUARDED = {
    "account": (("currency", "timezone"), "EXISTS (SELECT 1 FROM settled_day WHERE account_id = OLD.id)"),
    "app": (("account_id",), "EXISTS (SELECT 1 FROM charge WHERE app_id = OLD.id)"),
    "package": (
        ("account_id", "app_id", "minutes", "purchased_at", "term", "valid_from", "valid_to"),
        _SETTLED_FROM,
    ),
    "account_terms": (("valid_from", "policy_id", "free_minutes"), _SETTLED_FROM),
    "contract": (("valid_from", "discount"), _SETTLED_FROM),
    "contract_price": (("valid_from", "item", "price"), _SETTLED_FROM),
}


def upgrade() -> None:
    _allow_changes("settled_day")
    with op.batch_alter_table("settled_day") as batch:
        batch.add_column(sa.Column("starts_at", sa.BigInteger(), nullable=True))
        batch.add_column(sa.Column("ends_at", sa.BigInteger(), nullable=True))
    _fill_bounds()
    with op.batch_alter_table("settled_day") as batch:
        for column in ("starts_at", "ends_at"):
            batch.alter_column(column, existing_type=sa.BigInteger(), nullable=False)
        batch.create_check_constraint(op.f("ck_settled_day_bounds"), "starts_at <= ends_at")
    _refuse_changes("settled_day")
    _allow_changes("run")
    with op.batch_alter_table("run", recreate=_recreate()) as batch:
        batch.add_column(sa.Column("ingest_commit", sa.String(), nullable=True))
    _refuse_changes("run")
    _guard()
    for table in _COUNTED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN package_units TO package_minutes")


def downgrade() -> None:
    for table in _COUNTED:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN package_minutes TO package_units")
    _unguard()
    _allow_changes("run")
    with op.batch_alter_table("run") as batch:
        batch.drop_column("ingest_commit")
    _refuse_changes("run")
    _allow_changes("settled_day")
    with op.batch_alter_table("settled_day") as batch:
        batch.drop_constraint(op.f("ck_settled_day_bounds"), type_="check")
        batch.drop_column("ends_at")
        batch.drop_column("starts_at")
    _refuse_changes("settled_day")


def _fill_bounds() -> None:
    """The days that are settled get the bounds that their time zone gives them now."""
    conn = op.get_bind()
    days = conn.execute(
        sa.text("SELECT account_id, day, timezone FROM settled_day JOIN account ON account.id = account_id")
    ).all()
    rows = []
    for account_id, day, timezone in days:
        first = day if isinstance(day, date) else date.fromisoformat(day)
        zone = ZoneInfo(timezone)
        bounds = {"s": _day_start(first, zone), "e": _day_start(first + timedelta(days=1), zone)}
        rows.append({"a": account_id, "d": day, **bounds})
    if rows:
        update = "UPDATE settled_day SET starts_at = :s, ends_at = :e WHERE account_id = :a AND day = :d"
        conn.execute(sa.text(update), rows)


def _day_start(day: date, zone: ZoneInfo) -> int:
    """Epoch second of the first instant whose local date is `day`, or later where the zone skipped it."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
    if datetime.fromtimestamp(start, zone).isoformat()[:19] == f"{day}T00:00:00":
        return start
    before = start - _DAY_SECONDS
    while start - before > 1:
        middle = (before + start) // 2
        if datetime.fromtimestamp(middle, zone).date() >= day:
            start = middle
        else:
            before = middle
    return start


def _recreate() -> str:
    """SQLite would put a column that is only added behind the checks."""
    return "auto" if _is_postgresql() else "always"


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _allow_changes(table: str) -> None:
    if _is_postgresql():
        op.execute(f"DROP TRIGGER {table}_written_once ON {table}")
        return
    for change in ("update", "delete"):
        op.execute(f"DROP TRIGGER IF EXISTS {table}_refuses_{change}")


def _refuse_changes(table: str) -> None:
    if _is_postgresql():
        op.execute(
            f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT"
            f" RAISE(ABORT, '{table} is written once: what is settled never changes, post a correction'); END"
        )


def _guard() -> None:
    """Whoever asks, what settled days were billed with is refused another value."""
    for table, (columns, is_billed) in _GUARDED.items():
        message = f"days are billed with this {table.replace('_', ' ')}: it cannot change any more"
        if _is_postgresql():
            changed = " OR ".join(f"OLD.{column} IS DISTINCT FROM NEW.{column}" for column in columns)
            op.execute(
                f"CREATE FUNCTION refuse_billed_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF ({changed}) AND {is_billed} THEN"
                f" RAISE EXCEPTION '{message}' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$"
            )
            op.execute(
                f"CREATE TRIGGER {table}_is_billed BEFORE UPDATE ON {table}"
                f" FOR EACH ROW EXECUTE FUNCTION refuse_billed_{table}()"
            )
        else:
            changed = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in columns)
            op.execute(
                f"CREATE TRIGGER {table}_is_billed BEFORE UPDATE ON {table} WHEN ({changed}) AND {is_billed}"
                f" BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )


def _unguard() -> None:
    for table in _GUARDED:
        op.execute(f"DROP TRIGGER {table}_is_billed" + (f" ON {table}" if _is_postgresql() else ""))
        if _is_postgresql():
            op.execute(f"DROP FUNCTION refuse_billed_{table}()")
