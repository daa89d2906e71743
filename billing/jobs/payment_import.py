"""Payments from a bank's CSV file, read as a profile says; a line that matches nobody is kept, not lost.

    [columns]                     # the names in the file's header
    id = "Transaction"
    date = "Booked"
    amount = "Amount"
    reference = "Text"
    account = "Customer"          # optional; else the reference names an invoice or an account
    currency = "Currency"         # optional; else the account's

    [format]
    date = "%d.%m.%Y"             # default %Y-%m-%d
    decimal = ","                 # default "."
    delimiter = ";"               # default ","
    only_positive = true          # default: lines of money that went out are left out

A line's account is that of its `account` column, of the one invoice that its reference names, or the one account whose
id stands in the reference.
"""

import csv
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from billing.catalog.catalog import Catalog
from billing.errors import BillingError, unknown
from billing.home import Home
from billing.jobs.issuing import now_ms
from billing.jobs.payment import Received, record
from billing.jobs.standing import publish
from billing.ledger.catalog_store import load_catalog
from billing.ledger.database import Connection, Engine, writing
from billing.ledger.documents import documents
from billing.ledger.payments import Payment, UnmatchedPayment, put_unmatched
from billing.receivables.allocation import is_named

_COLUMNS = ("id", "date", "amount", "reference", "account", "currency")
_NEEDED = _COLUMNS[:4]
_FORMATS = {"date": "%Y-%m-%d", "decimal": ".", "delimiter": ",", "only_positive": True}
_AMOUNT = re.compile(r"[+-]?\d{1,12}(\.\d{1,8})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a bank's file is read: its column by what it holds, and how dates and amounts are written."""

    columns: Mapping[str, str]
    date: str = "%Y-%m-%d"
    decimal: str = "."
    delimiter: str = ","
    only_positive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The payments of a file, and how many of its lines are new among those that match nobody."""

    received: Sequence[Received]
    unmatched: int


@dataclass(slots=True)
class _Lines:
    """What the lines of a file have become."""

    received: list[Received] = field(default_factory=list)
    unmatched: list[UnmatchedPayment] = field(default_factory=list)


def parse_profile(text: str, filename: str) -> Profile:
    """The profile in a TOML text; a `BillingError` that names what is wrong with it."""
    try:
        tables = tomllib.loads(text)
    except ValueError as error:
        raise BillingError(f"{filename} is not TOML: {error}") from None
    columns, form = tables.pop("columns", {}), tables.pop("format", {})
    for name in tables:
        raise BillingError(f"{filename}: {unknown('table', name, ('columns', 'format'))}")
    for table, known in ((columns, _COLUMNS), (form, _FORMATS)):
        for name, value in table.items():
            if name not in known:
                raise BillingError(f"{filename}: {unknown('key', name, known)}")
            if not isinstance(value, bool if name == "only_positive" else str) or value == "":
                raise BillingError(f"{filename}: {name} = {value!r} cannot be used")
    if missing := [name for name in _NEEDED if name not in columns]:
        raise BillingError(f"{filename}: [columns] needs {', '.join(missing)}")
    if len(form.get("decimal", ".")) != 1 or len(form.get("delimiter", ",")) != 1:
        raise BillingError(f"{filename}: decimal and delimiter are one character each")
    return Profile(columns=columns, **form)


def import_payments(home: Home, engine: Engine, profile: Profile, text: str, filename: str) -> Imported:
    """Records the payments of a file in one transaction; a line that cannot be recorded is kept."""
    lines = _Lines()
    with writing(engine) as conn:
        catalog = load_catalog(conn)
        for number, raw, row in _rows(profile, text, filename):
            _import_line(conn, catalog, profile, (filename, number, raw), row, lines)
        fresh = put_unmatched(conn, lines.unmatched)
    publish(home, engine, {each.payment.account_id for each in lines.received})
    return Imported(received=lines.received, unmatched=fresh)


def _rows(profile: Profile, text: str, filename: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Each line's number, text and values by the names of the profile."""
    reader = csv.reader(text.lstrip("\ufeff").splitlines(keepends=True), delimiter=profile.delimiter, strict=True)
    try:
        header = next(reader, [])
        for column in profile.columns.values():
            if column not in header:
                raise BillingError(f"{filename}: {unknown('column', column, header)}")
        for values in reader:
            if any(values):
                named = dict(zip(header, values, strict=False))
                found = {name: named.get(column, "").strip() for name, column in profile.columns.items()}
                yield reader.line_num, profile.delimiter.join(values), found
    except csv.Error as error:
        raise BillingError(f"{filename}, line {reader.line_num}: {error}") from None


def _import_line(
    conn: Connection,
    catalog: Catalog,
    profile: Profile,
    where: tuple[str, int, str],
    row: Mapping[str, str],
    lines: _Lines,
) -> None:
    try:
        amount = _amount(profile, row["amount"])
        if amount <= 0 and profile.only_positive:
            return
        received = Payment(
            key=row["id"],
            account_id=_account(conn, catalog, row),
            amount=amount,
            currency=row.get("currency", ""),
            received_on=_day(profile, row["date"]),
            reference=" ".join(row["reference"].split()),
        )
        if not received.key:
            raise BillingError("has no id")
        lines.received.append(record(conn, catalog, received))
    except BillingError as error:
        lines.unmatched.append(_unmatched(where, row, str(error)))


def _account(conn: Connection, catalog: Catalog, row: Mapping[str, str]) -> str:
    if row.get("account"):
        return row["account"]
    reference = row["reference"]
    invoiced = {each.account_id for each in documents(conn) if each.is_invoice and is_named(each.number, reference)}
    named = invoiced or {account_id for account_id in catalog.accounts if is_named(account_id, reference)}
    if len(named) == 1:
        return named.pop()
    raise BillingError(
        "its reference names several accounts" if named else "its reference names neither an invoice nor an account"
    )


def _amount(profile: Profile, text: str) -> Decimal:
    grouping = "." if profile.decimal == "," else ","
    plain = text.replace(grouping, "").replace(" ", "").replace("\u00a0", "").replace(profile.decimal, ".")
    if not _AMOUNT.fullmatch(plain):
        raise BillingError(f"{text!r} is not an amount")
    return Decimal(plain)


def _day(profile: Profile, text: str) -> date:
    try:
        return datetime.strptime(text, profile.date).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise BillingError(f"{text!r} is not a day of the form {profile.date}") from None


def _unmatched(where: tuple[str, int, str], row: Mapping[str, str], detail: str) -> UnmatchedPayment:
    file, line, raw = where
    return UnmatchedPayment(
        key=row["id"] or f"{file}:{line}",
        file=file,
        line=line,
        amount=row["amount"],
        currency=row.get("currency", ""),
        received_on=row["date"],
        reference=row["reference"],
        detail=detail,
        raw=raw,
        recorded_at_ms=now_ms(),
    )
