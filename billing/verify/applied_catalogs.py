"""Applied catalogs: the contracts, packages, policies, accounts and apps as the changes on record made them.

A change holds the entries that a file brought, as JSON, or an entry that was removed. The changes up to a number, one
after the other, are the catalog of that moment. Here they are followed as plain tables, and compared with the rows of
today's catalog: what differs was changed in the database, and not by `billing catalog apply`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, tzinfo
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, select

from billing.errors import BillingError
from billing.ledger import tables
from billing.periods import time_zone
from billing.verify.mismatches import Mismatch
from billing.verify.money import SCALE, validity

Entry = Mapping[str, Any]
_KINDS = ("account", "app", "package", "contract", "policy")


@dataclass(slots=True, kw_only=True)
class AppliedCatalog:
    """The entries of some kinds by what they are known by, after the change `number`."""

    number: int = 0
    entries: dict[str, dict[Any, Entry]] = field(default_factory=lambda: {kind: {} for kind in _KINDS})

    def after(self, number: int, change: Mapping[str, Any]) -> "AppliedCatalog":
        """The catalog after one more change."""
        entries = {kind: dict(found) for kind, found in self.entries.items()}
        removed = change.get("removed")
        if removed and removed["kind"] in entries:
            entries[removed["kind"]].pop(removed["id"], None)
            if removed["kind"] == "account":
                kept = {key: each for key, each in entries["contract"].items() if key[0] != removed["id"]}
                entries["contract"] = kept
        for kind in _KINDS:
            for entry in change.get("applied", {}).get(kind, ()):
                key = (entry["account"], entry["valid_from"]) if kind == "contract" else entry["id"]
                entries[kind][key] = entry
        return AppliedCatalog(number=number, entries=entries)

    def contracts_of(self, account_id: str) -> list[Entry]:
        """The contracts of an account."""
        return [each for each in self.entries["contract"].values() if each["account"] == account_id]

    def packages_of(self, account_id: str) -> list[Entry]:
        """The packages of an account."""
        return [each for each in self.entries["package"].values() if each["account"] == account_id]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogHistory:
    """Every catalog that was applied, with the time of its change (epoch ms)."""

    catalogs: Sequence[AppliedCatalog]
    applied_at_ms: Sequence[int]

    @property
    def last(self) -> AppliedCatalog:
        """The catalog of now."""
        return self.catalogs[-1]

    def at_change(self, number: int) -> AppliedCatalog:
        """The catalog after a change."""
        return [each for each in self.catalogs if each.number <= number][-1]

    def at(self, at_ms: int) -> AppliedCatalog:
        """The catalog at an instant."""
        applied = zip(self.catalogs, (-1, *self.applied_at_ms), strict=True)
        return [catalog for catalog, applied_ms in applied if applied_ms <= at_ms][-1]


def catalog_history(conn: Connection) -> CatalogHistory:
    """All changes, the oldest first; before them the catalog is empty. A `BillingError` where one cannot be read."""
    change = tables.catalog_change
    catalogs, times = [AppliedCatalog()], []
    for row in conn.execute(select(change).order_by(change.c.id)):
        try:
            catalogs.append(catalogs[-1].after(row.id, json.loads(row.source)))
        except (ValueError, TypeError, LookupError, AttributeError):
            raise BillingError(f"change {row.id} of the catalog cannot be read") from None
        times.append(row.applied_at_ms)
    return CatalogHistory(catalogs=catalogs, applied_at_ms=times)


def catalog_mismatches(conn: Connection, applied: AppliedCatalog, account_id: str | None) -> Iterator[Mismatch]:
    """What is in the tables of the catalog and was never applied, or the other way round."""
    wanted = {kind: _wanted(kind, found, account_id) for kind, found in applied.entries.items()}
    zones = {key: str(each["timezone"]) for key, each in applied.entries["account"].items()}
    stored = {
        "account": _accounts(conn),
        "app": _apps(conn),
        "package": _packages(conn),
        "contract": _contracts(conn),
        "policy": _policies(conn),
    }
    for kind, entries in wanted.items():
        rows = {key: row for key, row in stored[kind].items() if _is_of(kind, key, row, account_id)}
        for key in sorted(entries.keys() | rows.keys(), key=str):
            expected = _expected(kind, entries[key], zones) if key in entries else None
            yield from _compared(kind, key, expected, rows.get(key))
    yield from _used_policies(conn)


def _wanted(kind: str, entries: Mapping[Any, Entry], account_id: str | None) -> dict[Any, Entry]:
    return {key: entry for key, entry in entries.items() if _is_of(kind, key, entry, account_id)}


def _is_of(kind: str, key: Any, entry: Entry, account_id: str | None) -> bool:
    if account_id is None or kind == "policy":
        return True
    return bool((key if kind == "account" else entry["account"]) == account_id)


def _compared(kind: str, key: Any, expected: Entry | None, found: Entry | None) -> Iterator[Mismatch]:
    name = " of ".join(map(str, reversed(key))) if isinstance(key, tuple) else str(key)
    account = (found or expected or {}).get("account")
    if expected is None or found is None:
        said = [f"a {kind}" if each else "none" for each in (expected, found)]
        detail = f"{kind} {name} is in the database but was never applied" if found else f"{kind} {name} is missing"
        yield Mismatch(check=kind, account=account, expected=said[0], found=said[1], detail=detail)
        return
    for column, value in expected.items():
        if found[column] != value:
            detail = f"{column} of {kind} {name} is not what was applied"
            yield Mismatch(
                check=kind, account=account, expected=_text(value), found=_text(found[column]), detail=detail
            )


def _text(value: object) -> str:
    if isinstance(value, Fraction):
        return format(float(value), ".8f").rstrip("0").rstrip(".")
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)


def _expected(kind: str, entry: Entry, zones: Mapping[str, str]) -> Entry:
    """An entry as the columns that are compared."""
    match kind:
        case "account":
            names = ("currency", "timezone", "policy")
            free = {"free_minutes": entry.get("free_minutes")}
            return {name: entry[name] for name in names} | free | {"account": entry["id"]}
        case "app":
            return {"account": entry["account"]}
        case "contract":
            prices = {item: Fraction(price) for item, price in (entry.get("prices") or {}).items()}
            discount = entry.get("discount")
            return {
                "account": entry["account"],
                "discount": None if discount is None else Fraction(discount),
                "prices": prices,
            }
        case "policy":
            return {"source": json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)}
    return _package(entry, time_zone(zones[entry["account"]]))


def _package(entry: Entry, zone: tzinfo) -> Entry:
    first, last = validity(entry, zone)
    price = entry.get("price")
    return {
        "account": entry["account"],
        "app": entry.get("app"),
        "minutes": entry["minutes"],
        "purchased_at": entry["purchased_at"],
        "price": None if price is None else int(Fraction(price) * SCALE),
        "term": entry.get("term", "year"),
        "charge": entry.get("charge") or "external",
        "valid_from": first,
        "valid_to": last,
    }


def _accounts(conn: Connection) -> dict[Any, Entry]:
    terms = conn.execute(select(tables.account_terms).order_by(tables.account_terms.c.valid_from))
    last = {row.account_id: {"policy": row.policy_id, "free_minutes": row.free_minutes} for row in terms}
    none = {"policy": None, "free_minutes": None}
    rows = conn.execute(select(tables.account.c.id, tables.account.c.currency, tables.account.c.timezone))
    return {
        row.id: {"account": row.id, "currency": row.currency, "timezone": row.timezone, **last.get(row.id, none)}
        for row in rows
    }


def _apps(conn: Connection) -> dict[Any, Entry]:
    return {
        row.id: {"account": row.account_id} for row in conn.execute(select(tables.app.c.id, tables.app.c.account_id))
    }


def _packages(conn: Connection) -> dict[Any, Entry]:
    names = {"account": "account_id", "app": "app_id", "price": "price_scaled"}
    same = ("minutes", "purchased_at", "term", "charge", "valid_from", "valid_to")
    return {
        row["id"]: {name: row[names.get(name, name)] for name in (*names, *same)}
        for row in conn.execute(select(tables.package)).mappings()
    }


def _contracts(conn: Connection) -> dict[Any, Entry]:
    prices: dict[tuple[str, date], dict[str, Fraction]] = {}
    for row in conn.execute(select(tables.contract_price)):
        prices.setdefault((row.account_id, row.valid_from), {})[row.item] = Fraction(row.price)
    found = {
        (row.account_id, row.valid_from): None if row.discount is None else Fraction(row.discount)
        for row in conn.execute(select(tables.contract))
    }
    return {
        (account_id, first.isoformat()): {
            "account": account_id,
            "discount": found[account_id, first],
            "prices": prices.get((account_id, first), {}),
        }
        for account_id, first in found
    }


def _policies(conn: Connection) -> dict[Any, Entry]:
    return {row.id: {"source": row.source} for row in conn.execute(select(tables.policy))}


def _used_policies(conn: Connection) -> Iterator[Mismatch]:
    """Policies by their hashes."""
    for table in (tables.used_policy, tables.policy):
        for row in conn.execute(select(table.c.hash, table.c.source)):
            found = hashlib.sha256(row.source.encode()).hexdigest()
            if found != row.hash:
                detail = f"a policy in {table.name} is not the one with its hash"
                yield Mismatch(check="policy", expected=row.hash, found=found, detail=detail)
