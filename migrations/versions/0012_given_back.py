"""Free minutes that pay the items in their order may have more left after a day than before it.

Of 10 free minutes, 2 of HD take 8 at ratio 4; when 3 of audio come first, 1 of HD is left, and 7 are taken in all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NAME = "ck_burn_down_package_units"


def upgrade() -> None:
    _check("kind IN ('usage', 'correction')")


def downgrade() -> None:
    _check("kind = 'correction' OR (kind = 'usage' AND package_minutes > 0)")


def _check(condition: str) -> None:
    triggers = _take_triggers()
    with op.batch_alter_table("burn_down") as batch:
        batch.drop_constraint(op.f(_NAME), type_="check")
        batch.create_check_constraint(op.f(_NAME), condition)
    for trigger in triggers:
        op.execute(trigger)


def _take_triggers() -> list[str]:
    """SQLite drops the triggers of a table that is made anew, and refuses to rename one that others name."""
    if op.get_bind().dialect.name == "postgresql":
        return []
    made = op.get_bind().execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    triggers = [row for row in made.all() if "burn_down" in row.sql]
    for trigger in triggers:
        op.execute(f"DROP TRIGGER {trigger.name}")
    return [trigger.sql for trigger in triggers]
