"""Corrections: what a later run finds different is posted beside what is settled, which from here on defends itself."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED = (
    "provisional_day",
    "catalog_change",
    "used_policy",
    "finding_correction",
    "deduction_correction",
    "usage_correction",
)
_WRITTEN_ONCE = (
    "run",
    "settled_day",
    "usage",
    "deduction",
    "finding",
    "usage_correction",
    "deduction_correction",
    "finding_correction",
    "charge",
    "burn_down",
    "free_grant",
    "lapse",
    "carried_state",
    "used_policy",
    "catalog_change",
)


def upgrade() -> None:
    _widen_run()
    _add_tables()
    _widen_charge()
    _name_the_run("burn_down", ["account_id", "day", "payer_id", "run_id"], with_kind=True)
    _name_the_run("lapse", ["account_id", "day", "payer_id", "run_id"], with_kind=True)
    _name_the_run("carried_state", ["account_id", "day", "run_id"], with_kind=False)
    _widen_free_grant()
    _refuse_changes()


def downgrade() -> None:
    _allow_changes()
    for table in _ADDED:
        op.drop_table(table)
    for table in ("charge", "burn_down", "lapse"):
        op.execute(f"DELETE FROM {table} WHERE kind = 'correction'")  # noqa: S608 - our own names
    op.execute(
        "DELETE FROM carried_state WHERE run_id <> (SELECT run_id FROM settled_day"
        " WHERE settled_day.account_id = carried_state.account_id AND settled_day.day = carried_state.day)"
    )
    with op.batch_alter_table("free_grant") as batch:
        batch.drop_constraint(op.f("fk_free_grant_run_id"), type_="foreignkey")
        batch.drop_column("posted_on")
        batch.drop_column("run_id")
    for table, key in (
        ("carried_state", ["account_id", "day"]),
        ("lapse", ["account_id", "payer_id"]),
        ("burn_down", ["account_id", "day", "payer_id"]),
    ):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"pk_{table}"), type_="primary")
            batch.drop_constraint(op.f(f"fk_{table}_run_id"), type_="foreignkey")
            if table != "carried_state":
                batch.drop_constraint(op.f(f"ck_{table}_not_zero"), type_="check")
                batch.drop_constraint(op.f(f"ck_{table}_package_units"), type_="check")
                batch.create_check_constraint(op.f(f"ck_{table}_package_units"), "package_units > 0")
                batch.drop_column("posted_on")
                batch.drop_column("kind")
            batch.drop_column("run_id")
            batch.create_primary_key(op.f(f"pk_{table}"), key)
    op.drop_index(op.f("ix_charge_account_id_posted_on"), "charge")
    with op.batch_alter_table("charge") as batch:
        for check in ("cause", "posted_on", "original"):
            batch.drop_constraint(op.f(f"ck_charge_{check}"), type_="check")
        batch.drop_constraint(op.f("fk_charge_corrects_run_id"), type_="foreignkey")
        for column in ("cause", "posted_on", "corrects_run_id"):
            batch.drop_column(column)
    op.execute("DELETE FROM run WHERE result <> 'billed'")
    op.drop_index(op.f("ix_run_account_id"), "run")
    with op.batch_alter_table("run") as batch:
        for check in ("result", "day", "correction"):
            batch.drop_constraint(op.f(f"ck_run_{check}"), type_="check")
        batch.drop_column("cause")
        batch.drop_column("from_day")
        for column in ("account_id", "policy_id", "policy_hash", "price_hash"):
            batch.alter_column(column, existing_type=sa.String(), nullable=False)
        batch.alter_column("day", existing_type=sa.Date(), nullable=False)


def _widen_run() -> None:
    """Runs over all accounts, runs that failed, and runs that correct."""
    with op.batch_alter_table("run") as batch:
        for column in ("account_id", "policy_id", "policy_hash", "price_hash"):
            batch.alter_column(column, existing_type=sa.String(), nullable=True)
        batch.alter_column("day", existing_type=sa.Date(), nullable=True)
        batch.add_column(sa.Column("from_day", sa.Date(), nullable=True))
        batch.add_column(sa.Column("cause", sa.String(), nullable=True))
        batch.create_check_constraint(op.f("ck_run_result"), "result IN ('billed', 'corrected', 'refreshed', 'failed')")
        batch.create_check_constraint(
            op.f("ck_run_day"), "result = 'refreshed' OR (account_id IS NOT NULL AND day IS NOT NULL)"
        )
        batch.create_check_constraint(
            op.f("ck_run_correction"), "result <> 'corrected' OR (from_day <= day AND cause IS NOT NULL)"
        )
    op.create_index(op.f("ix_run_account_id"), "run", ["account_id"])


def _add_tables() -> None:
    op.create_table(
        "usage_correction",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("run_id", _SERIAL, nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seconds <> 0", name=op.f("ck_usage_correction_seconds")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_usage_correction_run_id")),
        sa.PrimaryKeyConstraint(
            "account_id", "day", "app_id", "window_start", "item", "reason", "run_id", name=op.f("pk_usage_correction")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deduction_correction",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.String(), nullable=False),
        sa.Column("payer_id", sa.String(), nullable=False),
        sa.Column("run_id", _SERIAL, nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("package_units", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("minutes * package_units > 0", name=op.f("ck_deduction_correction_sign")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_deduction_correction_run_id")),
        sa.PrimaryKeyConstraint(
            "account_id",
            "day",
            "app_id",
            "window_start",
            "item",
            "payer_id",
            "run_id",
            name=op.f("pk_deduction_correction"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "finding_correction",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("run_id", _SERIAL, nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("app_id", sa.BigInteger(), nullable=False),
        sa.Column("room_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("finding", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("count <> 0", name=op.f("ck_finding_correction_count")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_finding_correction_run_id")),
        sa.PrimaryKeyConstraint("account_id", "day", "run_id", "id", name=op.f("pk_finding_correction")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "used_policy",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_used_policy")),
    )
    op.create_table(
        "catalog_change",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("applied_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_change")),
    )
    op.create_table(
        "provisional_day",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("cut_at", sa.BigInteger(), nullable=False),
        sa.Column("ingest_id", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("usage", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("refreshed_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_provisional_day_account_id")),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_provisional_day")),
    )


def _widen_charge() -> None:
    with op.batch_alter_table("charge") as batch:
        batch.add_column(sa.Column("corrects_run_id", _SERIAL, nullable=True))
        batch.add_column(sa.Column("posted_on", sa.Date(), nullable=True))
        batch.add_column(sa.Column("cause", sa.String(), nullable=True))
    op.execute("UPDATE charge SET posted_on = day")
    with op.batch_alter_table("charge") as batch:
        batch.alter_column("posted_on", existing_type=sa.Date(), nullable=False)
        batch.create_foreign_key(op.f("fk_charge_corrects_run_id"), "run", ["corrects_run_id"], ["id"])
        batch.create_check_constraint(op.f("ck_charge_cause"), "(kind = 'correction') = (cause IS NOT NULL)")
        batch.create_check_constraint(op.f("ck_charge_posted_on"), "posted_on >= day")
        batch.create_check_constraint(op.f("ck_charge_original"), "kind = 'correction' OR posted_on = day")
    op.create_index(op.f("ix_charge_account_id_posted_on"), "charge", ["account_id", "posted_on"])


def _name_the_run(table: str, key: list[str], *, with_kind: bool) -> None:
    """A day may have further rows, of the runs that corrected it."""
    with op.batch_alter_table(table) as batch:
        batch.add_column(sa.Column("run_id", _SERIAL, nullable=True))
        if with_kind:
            batch.add_column(sa.Column("kind", sa.String(), nullable=True))
            batch.add_column(sa.Column("posted_on", sa.Date(), nullable=True))
    op.execute(
        f"UPDATE {table} SET run_id = (SELECT run_id FROM settled_day"  # noqa: S608 - our own names
        f" WHERE settled_day.account_id = {table}.account_id AND settled_day.day = {table}.day)"
    )
    if with_kind:
        op.execute(f"UPDATE {table} SET kind = 'usage', posted_on = day")  # noqa: S608 - our own names
    with op.batch_alter_table(table) as batch:
        batch.drop_constraint(op.f(f"pk_{table}"), type_="primary")
        batch.alter_column("run_id", existing_type=_SERIAL, nullable=False)
        batch.create_primary_key(op.f(f"pk_{table}"), key)
        batch.create_foreign_key(op.f(f"fk_{table}_run_id"), "run", ["run_id"], ["id"])
        if with_kind:
            batch.alter_column("kind", existing_type=sa.String(), nullable=False)
            batch.alter_column("posted_on", existing_type=sa.Date(), nullable=False)
            batch.drop_constraint(op.f(f"ck_{table}_package_units"), type_="check")
            batch.create_check_constraint(
                op.f(f"ck_{table}_package_units"), "kind = 'correction' OR (kind = 'usage' AND package_units > 0)"
            )
            batch.create_check_constraint(op.f(f"ck_{table}_not_zero"), "package_units <> 0")


def _widen_free_grant() -> None:
    first_day = (
        "FROM settled_day WHERE settled_day.account_id = free_grant.account_id AND settled_day.day >= free_grant.month"
    )
    with op.batch_alter_table("free_grant") as batch:
        batch.add_column(sa.Column("run_id", _SERIAL, nullable=True))
        batch.add_column(sa.Column("posted_on", sa.Date(), nullable=True))
    op.execute(
        f"UPDATE free_grant SET posted_on = (SELECT MIN(day) {first_day}),"  # noqa: S608 - our own names
        f" run_id = (SELECT run_id {first_day} ORDER BY day LIMIT 1)"
    )
    with op.batch_alter_table("free_grant") as batch:
        batch.alter_column("run_id", existing_type=_SERIAL, nullable=False)
        batch.alter_column("posted_on", existing_type=sa.Date(), nullable=False)
        batch.create_foreign_key(op.f("fk_free_grant_run_id"), "run", ["run_id"], ["id"])


def _refuse_changes() -> None:
    """Rows that are settled refuse UPDATE and DELETE, whoever asks."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION '% is written once: what is settled never changes, post a correction', TG_TABLE_NAME"
            " USING ERRCODE = 'restrict_violation'; END $$"
        )
        for table in _WRITTEN_ONCE:
            op.execute(
                f"CREATE TRIGGER {table}_written_once BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in _WRITTEN_ONCE:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{change.lower()} BEFORE {change} ON {table} BEGIN SELECT"
                f" RAISE(ABORT, '{table} is written once: what is settled never changes, post a correction'); END"
            )


def _allow_changes() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in _WRITTEN_ONCE:
            op.execute(f"DROP TRIGGER {table}_written_once ON {table}")
        op.execute("DROP FUNCTION refuse_change()")
        return
    for table in _WRITTEN_ONCE:
        for change in ("update", "delete"):
            op.execute(f"DROP TRIGGER {table}_refuses_{change}")
