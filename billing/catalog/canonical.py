"""The canonical form of a catalog: the shape of its TOML file, with plain values and every default written out.

The database keeps each change of the catalog in this form, as JSON, so that the catalog of any earlier moment can be
made again: `{"version": 1, "applied": {"account": [{"id": "acme", ...}], ...}}`, or for an entry that was removed
`{"version": 1, "removed": {"kind": "package", "id": "pkg-1"}}`. Reading it back checks nothing: what was accepted once
stays readable when a later `reading` refuses more. `catalog_toml` writes the same as a file that can be applied.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from billing.catalog.alerts import Alert, Webhook
from billing.catalog.catalog import KINDS, ONLY_SELLER, Account, App, Catalog, Removal, identity
from billing.catalog.contracts import Contract
from billing.catalog.feeds import Assumptions
from billing.catalog.overdue import OverduePolicy, OverdueStep
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, policy_from_table, policy_table, prices_from_table
from billing.catalog.sellers import NumberSeries, Seller
from billing.catalog.taxes import Tax, TaxVersion
from billing.money import plain

_VERSION = 1
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {
    "seller": Seller,
    "tax": Tax,
    "overdue_policy": OverduePolicy,
    "account": Account,
    "app": App,
    "package": Package,
    "contract": Contract,
    "alert": Alert,
    "webhook": Webhook,
}
# How the fields are read that are more than text or a whole number.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "purchased_at": lambda value: datetime.fromisoformat(str(value)),
    "price": Decimal,
    "valid_from": lambda value: date.fromisoformat(str(value)),
    "discount": Decimal,
    "prices": prices_from_table,
    "feed": tuple,
    "assume": lambda value: Assumptions(**value),
    "invoices_from": lambda value: date.fromisoformat(f"{value}"[:7] + "-01"),
    "limit": Decimal,
    "thresholds": tuple,
    "events": tuple,
    "invoice": lambda value: NumberSeries(**value),
    "credit_note": lambda value: NumberSeries(**value),
    "versions": lambda value: tuple(map(_tax_version, value)),
    "steps": lambda value: tuple(map(_overdue_step, value)),
}


def applied_source(new: Catalog) -> str:
    """What is stored of a catalog that was applied."""
    return _json({"version": _VERSION, "applied": catalog_table(new)})


def removed_source(removal: Removal) -> str:
    """What is stored of an entry that was removed."""
    return _json({"version": _VERSION, "removed": asdict(removal)})


def catalog_after(sources: Iterable[str]) -> Catalog:
    """The catalog after some stored changes, the oldest first."""
    catalog = Catalog()
    for change in map(json.loads, sources):
        if "removed" in change:
            catalog = catalog.without(Removal(**change["removed"]))
        else:
            catalog = catalog.merged(catalog_from_table(change["applied"]))
    return catalog


def catalog_table(catalog: Catalog) -> dict[str, Any]:
    """Every entry, by kind: `{"account": [{"id": "acme", ...}], ...}`."""
    return {kind: [_entry_table(entry) for entry in catalog.entries(kind).values()] for kind in KINDS}


def catalog_from_table(table: Mapping[str, Any]) -> Catalog:
    """The catalog in such a table. (Earlier versions of the program kept one seller, without an id.)"""
    if isinstance(table.get("seller"), dict):
        table = {**table, "seller": [{"id": ONLY_SELLER, **table["seller"]}]}
    entries = {kind: [entry_from_table(kind, entry) for entry in table.get(kind, ())] for kind in KINDS}
    found: dict[str, Any] = {
        KINDS[kind]: {identity(entry): entry for entry in of_kind} for kind, of_kind in entries.items()
    }
    return Catalog(**found)


def entry_from_table(kind: str, table: Mapping[str, Any]) -> Any:
    """An entry of one of `KINDS`; values may be plain or read already, and what is left out has its default."""
    if kind == "policy":
        return policy_from_table(table)
    named = {("versions" if name == "version" else name): value for name, value in table.items()}
    return _TYPES[kind](**{name: _read(name, value) for name, value in named.items()})


def entry_source(entry: Any) -> str:
    """An entry by itself, as the database keeps it."""
    return _json(_entry_table(entry))


def catalog_toml(catalog: Catalog) -> str:
    """A TOML file that holds the whole catalog: applied to it, it changes nothing."""
    blocks = [
        "\n".join(_toml_lines(kind, entry)) for kind, entries in catalog_table(catalog).items() for entry in entries
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _json(table: Mapping[str, object]) -> str:
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _entry_table(entry: Any) -> dict[str, Any]:
    if isinstance(entry, Policy):
        return policy_table(entry)
    table = _fields(entry)
    match entry:
        case Tax():
            table["version"] = table.pop("versions")
        case Account() if entry.invoices_from is not None:
            table["invoices_from"] = f"{entry.invoices_from:%Y-%m}"
        case OverduePolicy():
            table["steps"] = [
                {("from" if name == "from_state" else name): value for name, value in step.items()}
                for step in table["steps"]
            ]
    return table


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _tax_version(value: Any) -> TaxVersion:
    read = {"valid_from": date.fromisoformat(str(value["valid_from"])), "rate": Decimal(value["rate"])}
    return TaxVersion(**{**value, **read})


def _overdue_step(value: Any) -> OverdueStep:
    named = {("from_state" if name == "from" else name): each for name, each in value.items()}
    return OverdueStep(**named)


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return plain(value)
        case date():  # an instant too
            return value.isoformat()
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case tuple():
            return [_plain(each) for each in value]
    if is_dataclass(value):
        return {key: each for key, each in _fields(value).items() if not _is_unset(each)}
    return value


def _is_unset(value: object) -> bool:
    """Whether a value is the same as none: it is left out of a file."""
    return value is None or value == {} or value == []


def _read(name: str, value: Any) -> Any:
    return value if value is None or name not in _READERS else _READERS[name](value)


def _toml_lines(kind: str, table: Mapping[str, Any]) -> Iterator[str]:
    """A table, and below it the versions of a policy or tax, which are too long for a line."""
    yield f"[[{kind}]]"
    for key, value in table.items():
        if not _is_unset(value) and key != "version":
            yield f"{key} = {_toml(value)}"
    for version in table.get("version", []):
        yield ""
        yield from _toml_lines(f"{kind}.version", version)


def _toml(value: object) -> str:
    """A value in TOML. JSON escapes text as TOML does, all but DEL."""
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{_toml_key(key)} = {_toml(each)}" for key, each in value.items()) + " }"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml(key)
