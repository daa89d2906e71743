"""Alerts and deliveries on every database: thresholds fire once, messages are delivered once."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from billing.catalog.reading import parse_catalog
from billing.home import Home
from billing.jobs.alerts import check_alerts
from billing.jobs.notify import run_notify
from billing.ledger.catalog_history import EntryDates, entry_dates
from billing.ledger.catalog_store import apply, load_catalog
from billing.ledger.database import reading, writing
from billing.ledger.document_tables import delivery
from billing.ledger.outbox import put
from tests.integration.days import ACME, CLASSROOM, apply_catalog, charge, day_bill, run, settle
from tests.webhook_server import Receiver

APPLIED_MS = 1_772_300_000_000
NOON_MS = 1_772_420_400_000  # 2026-03-02 12:00 in Tokyo
ALERTS = f"""
[[alert]]
id = "spend"
account = "acme"
metric = "spend"
app = {CLASSROOM}
limit = "0.00099"
thresholds = ["100%", "0.002"]
[[alert]]
id = "left"
account = "acme"
metric = "package_remaining"
thresholds = [25000]
"""
HOOK = """
[[webhook]]
id = "finance"
url = "{url}"
secret_env = "HOOK_SECRET"
allow_private = true
events = ["alert.fired"]
account = "acme"
"""


def check(engine: Engine) -> None:
    with writing(engine) as conn:
        check_alerts(conn, load_catalog(conn), NOON_MS)


def test_what_fires_is_told_once_on_every_database(
    engine: Engine, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BILLING_NOW", "2026-03-02T12:00:00+09:00")
    apply_catalog(engine, ACME + ALERTS + HOOK.format(url=receiver.url()))
    settle(engine, day_bill(run(), charges=[charge("audio", seconds=60)]))
    check(engine)
    check(engine)
    with writing(engine) as conn:
        put(conn, "invoice.issued", "acme", "1", {}, at_ms=NOON_MS)
    home = Home.at(tmp_path)
    found = [run_notify(home, engine) for _ in range(2)]
    assert [[each.result for each in done.notified] for done in found] == [["delivered", "delivered"], []]
    told = [request.verified()["data"] for request in receiver.requests]
    assert [(each["alert"], each["value"]) for each in told] == [("left", "25000"), ("spend", "0.00099")]
    [first, _] = [each.message.message_id for each in found[0].notified]
    assert [each.result for each in run_notify(home, engine, first).notified] == ["replayed"]


def test_an_entry_has_the_dates_of_its_arrival_and_of_its_last_change(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    for at_ms, url in ((1, "https://a.example"), (2, "https://a.example"), (3, "https://b.example")):
        with writing(engine) as conn:
            text = HOOK.format(url=url) + f'[[app]]\nid = {at_ms}\naccount = "acme"\nname = "App"\n'
            apply(conn, parse_catalog(text, "catalog.toml"), applied_at_ms=APPLIED_MS + at_ms)
    with reading(engine) as conn:
        dates = entry_dates(conn, "webhook")
    assert dates == {"finance": EntryDates(added_ms=APPLIED_MS + 1, changed_by=4)}


def test_a_result_that_is_none_is_refused(engine: Engine) -> None:
    with writing(engine) as conn:
        put(conn, "invoice.issued", None, "1", {}, at_ms=NOON_MS)
    row = {"outbox_id": 1, "webhook_id": "w", "catalog_change": 0, "detail": "", "attempted_at_ms": 1}
    with pytest.raises(Exception, match="ck_delivery_result"), writing(engine) as conn:
        conn.execute(insert(delivery).values(row | {"result": "lost"}))
