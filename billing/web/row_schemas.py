"""The JSON schemas of rows, for `/openapi.json`. Those of frames follow from the schemas of the frames."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from billing.reports.account import CHARGES_SCHEMA, FINDINGS_SCHEMA, PACKAGES_SCHEMA

Schema = Mapping[str, Any]

_DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
TEXT = {"type": "string"}
SOME_TEXT = {"type": ["string", "null"]}
INTEGER = {"type": "integer"}
SOME_INTEGER = {"type": ["integer", "null"]}
BOOLEAN = {"type": "boolean"}
AMOUNT = {"type": "string", "pattern": _DECIMAL}
SOME_AMOUNT = {"type": ["string", "null"], "pattern": _DECIMAL}
DAY = {"type": "string", "format": "date"}
SOME_DAY = {"type": ["string", "null"], "format": "date"}
INSTANT = {"type": "string", "format": "date-time"}
SOME_INSTANT = {"type": ["string", "null"], "format": "date-time"}


def row(*, optional: Mapping[str, Schema] | None = None, **fields: Schema) -> Schema:
    """An object that has all of these fields, perhaps the optional ones, and no others."""
    return {
        "type": "object",
        "properties": {**fields, **(optional or {})},
        "required": list(fields),
        "additionalProperties": False,
    }


def array(items: Schema) -> Schema:
    """An array of such values."""
    return {"type": "array", "items": items}


def some_array(items: Schema) -> Schema:
    """The same, or null."""
    return {"type": ["array", "null"], "items": items}


def frame_row(schema: pl.Schema, **instead: Schema) -> Schema:
    """A row of a frame; `instead` has the fields that are printed otherwise."""
    return row(**{name: instead.get(name) or _of_type(kind) for name, kind in schema.items()})


def _of_type(kind: pl.DataType) -> Schema:
    match kind:
        case pl.Date():
            return SOME_DAY
        case pl.Decimal():
            return SOME_AMOUNT
        case pl.Boolean():
            return BOOLEAN
        case pl.Int64():
            return SOME_INTEGER
    return SOME_TEXT


ACCOUNT = row(
    id=TEXT,
    name=TEXT,
    currency=TEXT,
    timezone=TEXT,
    policy=TEXT,
    seller=SOME_TEXT,
    tax=SOME_TEXT,
    apps=array(INTEGER),
)
CHARGE = frame_row(CHARGES_SCHEMA, deducted_by={"type": "object", "additionalProperties": INTEGER})
PACKAGE = frame_row(PACKAGES_SCHEMA)
FINDING = frame_row(FINDINGS_SCHEMA)
BALANCE = row(account=TEXT, currency=TEXT, credit=AMOUNT, open=AMOUNT, draft=AMOUNT, balance=AMOUNT, as_of=INSTANT)
_DOCUMENT: Mapping[str, Schema] = {
    "number": TEXT,
    "kind": {"enum": ["invoice", "credit_note"]},
    "purpose": TEXT,
    "account": TEXT,
    "seller": TEXT,
    "month": SOME_TEXT,
    "issued_on": DAY,
    "due_on": SOME_DAY,
    "currency": TEXT,
    **dict.fromkeys(("net", "tax", "total", "paid", "credited", "open"), AMOUNT),
    "state": {"enum": ["issued", "part_paid", "paid", "overdue", "credited", "written_off"]},
    "credits": SOME_TEXT,
    "replaces": SOME_TEXT,
}
DOCUMENT = row(**_DOCUMENT)
_LINE = row(
    line=INTEGER,
    kind=TEXT,
    app_id=SOME_INTEGER,
    item=SOME_TEXT,
    package=SOME_TEXT,
    first_day=SOME_DAY,
    last_day=SOME_DAY,
    minutes=SOME_INTEGER,
    deducted_minutes=SOME_INTEGER,
    payable_minutes=SOME_INTEGER,
    unit_price=SOME_AMOUNT,
    amount=AMOUNT,
    tax=SOME_TEXT,
    credits_line=SOME_INTEGER,
)
_TAX = row(
    tax=SOME_TEXT,
    valid_from=SOME_DAY,
    category=SOME_TEXT,
    rate=AMOUNT,
    prices=TEXT,
    rounding=TEXT,
    base=AMOUNT,
    amount=AMOUNT,
)
DOCUMENT_CONTENTS = row(**_DOCUMENT, reason=SOME_TEXT, lines=array(_LINE), taxes=array(_TAX))
USAGE = row(
    app_id=INTEGER,
    item=TEXT,
    kind={"enum": ["usage", "correction"]},
    run=SOME_INTEGER,
    settled=BOOLEAN,
    optional={
        "start": INSTANT,
        "day": DAY,
        "room_id": TEXT,
        "user_id": TEXT,
        "reason": TEXT,
        "seconds": INTEGER,
        "minutes": INTEGER,
    },
)
ADMISSION = row(
    account=SOME_TEXT,
    app_id=INTEGER,
    admit=BOOLEAN,
    state=TEXT,
    reason=SOME_TEXT,
    since=SOME_INSTANT,
    balance=SOME_AMOUNT,
    currency=SOME_TEXT,
    code_native=SOME_INTEGER,
    code_web=SOME_INTEGER,
    as_of=INSTANT,
    valid_until=INSTANT,
)
RUN = row(
    id=INTEGER,
    command=TEXT,
    account=SOME_TEXT,
    day=SOME_DAY,
    from_day=SOME_DAY,
    cause=SOME_TEXT,
    started_at=INSTANT,
    finished_at=INSTANT,
    engine_version=TEXT,
    policy=SOME_TEXT,
    policy_hash=SOME_TEXT,
    price_hash=SOME_TEXT,
    ingest_id=INTEGER,
    log_version=SOME_INTEGER,
    counts={"type": "object", "additionalProperties": INTEGER},
    result=TEXT,
    detail=TEXT,
)
QUARANTINED = row(id=TEXT, file=TEXT, line=INTEGER, reason=TEXT, detail=SOME_TEXT, raw=TEXT)
RETRIED = row(file=TEXT, read=INTEGER, accepted=INTEGER, duplicates=INTEGER, quarantined=INTEGER)
TOKEN = row(id=TEXT, scope=TEXT, account=SOME_TEXT, name=TEXT, created_at=INSTANT, revoked_at=SOME_INSTANT)
ACCESS = row(id=INTEGER, at=INSTANT, token=SOME_TEXT, account=SOME_TEXT, method=TEXT, path=TEXT, status=INTEGER)
_ITEM = row(item=TEXT, minutes=INTEGER, package_minutes=INTEGER, unit_price=AMOUNT, amount=AMOUNT)
_CHOICE = row(
    price=AMOUNT,
    overage=AMOUNT,
    total=AMOUNT,
    cheapest=BOOLEAN,
    optional={"minutes": INTEGER, "set": array(row(minutes=INTEGER, count=INTEGER))},
)
ESTIMATE = row(
    items=array(_ITEM),
    free_minutes_used=INTEGER,
    pay_as_you_go=AMOUNT,
    currency=TEXT,
    packages=array(_CHOICE),
)
_LINK_LINE = row(
    app_id=INTEGER,
    item=TEXT,
    kind={"enum": ["usage", "correction"]},
    policy=TEXT,
    policy_version=DAY,
    contract=SOME_DAY,
    list_price=SOME_AMOUNT,
    unit_price=AMOUNT,
    seconds=INTEGER,
    minutes=INTEGER,
    deducted_minutes=INTEGER,
    payable_minutes=INTEGER,
    amount=AMOUNT,
)
_LINK_WINDOW = row(
    app_id=INTEGER,
    item=TEXT,
    start=INSTANT,
    seconds=INTEGER,
    seconds_so_far=INTEGER,
    minutes_so_far=INTEGER,
    minutes=INTEGER,
    paid=array(row(payer=TEXT, minutes=INTEGER, units=INTEGER, left=INTEGER)),
    payable_minutes=INTEGER,
    amount=AMOUNT,
)
_LINK_ROOM = row(app_id=INTEGER, day=DAY, room_id=TEXT, item=TEXT, reason=TEXT, seconds=INTEGER, share=AMOUNT)
_BOUNDARY = row(
    cause={"enum": ["event", "grace_over", "silent_24h", "day_start", "day_end"]},
    event_id=SOME_TEXT,
    type=SOME_TEXT,
    user_id=SOME_TEXT,
    at=SOME_INSTANT,
    file=SOME_TEXT,
    line=SOME_INTEGER,
)
_LINK_INTERVAL = row(
    app_id=INTEGER,
    room_id=TEXT,
    user_id=TEXT,
    start=INSTANT,
    end=INSTANT,
    seconds=INTEGER,
    item=TEXT,
    reason=TEXT,
    area=INTEGER,
    streams=array(row(stream=TEXT, width=INTEGER, height=INTEGER)),
    begins=_BOUNDARY,
    ends=_BOUNDARY,
)
EXPLANATION = row(
    account=TEXT,
    month=TEXT,
    currency=TEXT,
    run=SOME_INTEGER,
    app_id=SOME_INTEGER,
    item=SOME_TEXT,
    day=SOME_DAY,
    window=SOME_INSTANT,
    room_id=SOME_TEXT,
    user_id=SOME_TEXT,
    at=SOME_INSTANT,
    seconds=INTEGER,
    amount=AMOUNT,
    lines=array(_LINK_LINE),
    charges=array(CHARGE),
    windows=some_array(_LINK_WINDOW),
    rooms=some_array(_LINK_ROOM),
    intervals=some_array(_LINK_INTERVAL),
)
