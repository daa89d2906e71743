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
from billing.catalog.catalog import KINDS, Account, App, Catalog, Removal, identity
from billing.catalog.contracts import Contract
from billing.catalog.feeds import Assumptions
from billing.catalog.overdue import OverduePolicy, overdue_from_table, overdue_table
from billing.catalog.packages import Package
from billing.catalog.policies import Policy, policy_from_table, policy_table, prices_from_table
from billing.catalog.sellers import ONLY_SELLER, NumberSeries, Seller
from billing.catalog.taxes import Tax, tax_from_table, tax_table
from billing.money import plain

_VERSION = 1
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {
    "seller": Seller,
    "account": Account,
    "app": App,
    "package": Package,
    "contract": Contract,
    "alert": Alert,
    "webhook": Webhook,
}
# Entries with tables in them are read and written where they are defined.
_FROM_TABLE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "policy": policy_from_table,
    "tax": tax_from_table,
    "overdue_policy": overdue_from_table,
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
    "invoice": lambda value: NumberSeries(**value),
    "credit_note": lambda value: NumberSeries(**value),
    "invoices_from": lambda value: date.fromisoformat(f"{str(value)[:7]}-01"),
    "limit": Decimal,
    "thresholds": tuple,
    "events": tuple,
}


def applied_source(new: Catalog) -> str:
    """What is stored of a catalog that was applied."""
    return _json({"version": _VERSION, "applied": catalog_table(new)})


def removed_source(removal: Removal) -> str:
    """What is stored of an entry that was removed."""
    return _json({"version": _VERSION, "removed": asdict(removal)})


def entry_source(entry: Any) -> str:
    """What is stored of one entry."""
    return _json(_entry_table(entry))


def entry_from_source(kind: str, source: str) -> Any:
    """The entry that `entry_source` wrote."""
    return entry_from_table(kind, json.loads(source))


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
    """The catalog in such a table. Earlier versions wrote one seller, without an id, and had no packages but those that
    are billed elsewhere."""
    tables = {kind: table.get(kind, ()) for kind in KINDS}
    if isinstance(tables["seller"], Mapping):
        tables["seller"] = [{"id": ONLY_SELLER, **tables["seller"]}]
    tables["package"] = [{"charge": "external", **package} for package in tables["package"]]
    entries = {kind: [entry_from_table(kind, entry) for entry in found] for kind, found in tables.items()}
    return Catalog(**{KINDS[kind]: {identity(entry): entry for entry in found} for kind, found in entries.items()})


def entry_from_table(kind: str, table: Mapping[str, Any]) -> Any:
    """An entry of one of `KINDS`; values may be plain or read already, and what is left out has its default."""
    if kind in _FROM_TABLE:
        return _FROM_TABLE[kind](table)
    return _TYPES[kind](**{name: _read(name, value) for name, value in table.items()})


def catalog_toml(catalog: Catalog) -> str:
    """A TOML file that holds the whole catalog: applied to it, it changes nothing."""
    blocks = [
        "\n".join(_toml_lines(kind, f"[[{kind}]]", entry))
        for kind, entries in catalog_table(catalog).items()
        for entry in entries
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _json(table: Mapping[str, object]) -> str:
    return json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _entry_table(entry: Any) -> dict[str, Any]:
    match entry:
        case Policy():
            return policy_table(entry)
        case Tax():
            return tax_table(entry)
        case OverduePolicy():
            return overdue_table(entry)
        case Account(invoices_from=date() as first):
            return _fields(entry) | {"invoices_from": f"{first:%Y-%m}"}
    return _fields(entry)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: object) -> object:
    match value:
        case Decimal():
            return plain(value)
        case date():  # an instant too
            return value.isoformat()
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case tuple():
            return list(value)
    if is_dataclass(value):
        return {key: each for key, each in _fields(value).items() if not _is_unset(each)}
    return value


def _is_unset(value: object) -> bool:
    """Whether a value is the same as none: it is left out of a file."""
    return value is None or value == {} or value == []


def _read(name: str, value: Any) -> Any:
    return value if value is None or name not in _READERS else _READERS[name](value)


def _toml_lines(kind: str, header: str, table: Mapping[str, Any]) -> Iterator[str]:
    """A table, and below it the versions of a policy or a tax, which are too long for a line."""
    yield header
    versions = table.get("version", [])
    for key, value in table.items():
        if not _is_unset(value) and key != "version":
            yield f"{key} = {_toml(value)}"
    for version in versions:
        yield ""
        yield from _toml_lines(kind, f"[[{kind}.version]]", version)


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
