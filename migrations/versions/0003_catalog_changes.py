"""Changes of the catalog are kept as normalised values, not as the TOML text that was applied.

They become canonical JSON with every default written out: `{"version": 1, "applied": {"account": [...], ...}}`. The
texts were accepted when they were applied, so nothing is checked here. This file says itself what the JSON looks like,
because it must not follow later versions of the program.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHANGE = sa.table("catalog_change", sa.column("id", sa.BigInteger()), sa.column("source", sa.String()))
_TRIGGER = "catalog_change_refuses_update"
_REFUSE = "SELECT RAISE(ABORT, 'catalog_change is written once: what is settled never changes, post a correction')"
_KINDS = ("policy", "account", "app", "package", "contract")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "seller": {"address": None},
    "account": {"free_minutes": None, "address": None},
    "app": {},
    "package": {"app": None, "price": None, "term": "year"},
    "contract": {"discount": None, "prices": {}},
    "policy": {},
    "version": {"prices": {}, "package_prices": {}},
}


def upgrade() -> None:
    _rewrite(_normalised)


def downgrade() -> None:
    """An entry that was removed cannot be said in TOML, and comes back in the catalogs of earlier moments."""
    _rewrite(_toml)


def _rewrite(convert: Callable[[str], str]) -> None:
    conn = op.get_bind()
    rows = conn.execute(sa.select(_CHANGE.c.id, _CHANGE.c.source)).all()
    with _rows_may_change(conn):
        for number, source in rows:
            conn.execute(sa.update(_CHANGE).where(_CHANGE.c.id == number).values(source=convert(source)))


@contextmanager
def _rows_may_change(conn: sa.Connection) -> Iterator[None]:
    """Rows that were written once refuse UPDATE by trigger."""
    if conn.dialect.name == "postgresql":
        op.execute("ALTER TABLE catalog_change DISABLE TRIGGER catalog_change_written_once")
        yield
        op.execute("ALTER TABLE catalog_change ENABLE TRIGGER catalog_change_written_once")
        return
    op.execute(f"DROP TRIGGER {_TRIGGER}")
    yield
    op.execute(f"CREATE TRIGGER {_TRIGGER} BEFORE UPDATE ON catalog_change BEGIN {_REFUSE}; END")


def _normalised(text: str) -> str:
    tables = tomllib.loads(text)
    applied = {kind: [_entry(kind, table) for table in tables.get(kind, ())] for kind in _KINDS}
    seller = {"seller": _entry("seller", tables["seller"])} if "seller" in tables else {}
    return json.dumps(
        {"version": 1, "applied": seller | applied}, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )


def _entry(kind: str, table: dict[str, Any]) -> dict[str, Any]:
    values = {key: _value(key, value) for key, value in (_DEFAULTS[kind] | table).items()}
    if kind == "version":
        values.setdefault("free_ratios", values["ratios"])
    return values


def _value(key: str, value: Any) -> Any:
    """Prices as decimal text, days and instants in ISO 8601, addresses without spaces around their lines."""
    if value is None:
        return None
    match key:
        case "price" | "discount":
            return _decimal(value)
        case "prices" | "package_prices":
            if isinstance(value, dict):
                return {name: _value(key, each) for name, each in value.items()}
            return _decimal(value)
        case "valid_from":
            return date.fromisoformat(str(value)).isoformat()
        case "purchased_at":
            return datetime.fromisoformat(str(value).upper()).isoformat()
        case "address":
            return "\n".join(line.strip() for line in value.strip().splitlines())
        case "version":
            return [_entry("version", version) for version in value]
    return value


def _decimal(value: Any) -> str:
    """Without exponent and without trailing zeros."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _toml(source: str) -> str:
    lines = []
    for kind, entries in json.loads(source).get("applied", {}).items():
        for entry in [entries] if kind == "seller" else entries:
            lines.append("[seller]" if kind == "seller" else f"[[{kind}]]")
            lines += [f"{key} = {_inline(value)}" for key, value in entry.items() if value is not None]
    return "\n".join(lines)


def _inline(value: Any) -> str:
    """A value in TOML. JSON escapes text as TOML does, all but DEL."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
