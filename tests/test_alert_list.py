"""Alerts on a home: when thresholds fire at nightly and refresh, what is told, and what `billing alerts` lists."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.documents_home import APP, apply, at, audio, catalog, home, ingest, ok, refused, rows
from tests.sample_home import database

# 30 minutes of 10 March are billed; it is the afternoon of the 11th.
NOW = "2026-03-11T15:00:00+09:00"
PACKAGE = """
[[package]]
id = "{id}"
account = "acme"
minutes = {minutes}
purchased_at = {bought}T10:00:00+09:00
"""


@pytest.fixture(scope="module")
def billed_day(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return home(tmp_path_factory.mktemp("billed"), catalog(), [audio("2026-03-10", 30)], now=NOW)


@pytest.fixture
def run(billed_day: Commands, tmp_path: Path) -> Commands:
    """A home at 1.00 a minute, 30.00 of which are billed."""
    return replace(billed_day, home=Path(shutil.copytree(billed_day.home, tmp_path / "home")))


def alert(metric: str, *thresholds: str, **keys: Any) -> str:
    given = {"id": "watch", "account": "acme", "metric": metric, "thresholds": list(thresholds), **keys}
    return "\n[[alert]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items())


def watch(run: Commands, *more: str) -> None:
    apply(run, run.home.parent, catalog(more="".join(more)))


def use(run: Commands, day: str, minutes: int, name: str) -> None:
    """More usage of a day, brought up by a refresh."""
    ingest(run, run.home.parent, audio(day, minutes, name))
    ok(run, "refresh")


def told(run: Commands, event: str = "alert.fired") -> list[dict[str, Any]]:
    """What the messages of the outbox say, in their order."""
    with closing(sqlite3.connect(run.home / "billing.db")) as connection:
        found = connection.execute("SELECT payload FROM outbox WHERE event = ? ORDER BY id", (event,))
        return [json.loads(payload)["data"] for (payload,) in found]


def fired(run: Commands) -> list[tuple[Any, ...]]:
    return [(each["period"], each["threshold"], each["value"]) for each in told(run)]


def test_spend_fires_at_the_refresh_that_sees_it_cross_and_never_again_in_its_month(run: Commands) -> None:
    watch(run, alert("spend", "80%", "100%", limit="50"))
    ok(run, "refresh")
    assert fired(run) == []
    use(run, "2026-03-11", 10, "a")
    assert told(run) == [
        {
            "account": "acme",
            "alert": "watch",
            "metric": "spend",
            "app_id": None,
            "package": None,
            "period": "2026-03",
            "threshold": "80%",
            "amount": "40",
            "limit": "50",
            "value": "40",
            "currency": "USD",
        }
    ]
    before = database(run.home)
    ok(run, "refresh")
    assert [line for line in before if "alert_event" in line] == [
        line for line in database(run.home) if "alert_event" in line
    ]
    use(run, "2026-03-11", 59, "b")
    ok(at(run, "2026-03-12T09:00:00+09:00"), "nightly")
    assert fired(run) == [("2026-03", "80%", "40"), ("2026-03", "100%", "99")]
    assert rows(run, "alerts") == [
        {
            "id": "watch",
            "account": "acme",
            "metric": "spend",
            "period": "2026-03",
            "threshold": threshold,
            "limit": "50",
            "value": "99",
            "fired_at": "2026-03-11T15:00:00.000+09:00",
            "state": "fired",
        }
        for threshold in ("80%", "100%")
    ]
    april = at(run, "2026-04-01T15:00:00+09:00")
    assert {(row["period"], row["value"], row["state"]) for row in rows(april, "alerts")} == {("2026-04", "0", "armed")}


def test_a_correction_that_takes_the_value_down_and_up_again_fires_nothing(run: Commands) -> None:
    watch(run, alert("spend", "40"))
    use(run, "2026-03-11", 10, "a")
    ok(run, f"retract --app {APP} --day 2026-03-11 --ingest 2 --reason test")
    ok(run, "refresh")
    assert [row["value"] for row in rows(run, "alerts")] == ["30"]
    use(run, "2026-03-11", 20, "b")
    assert [row["value"] for row in rows(run, "alerts")] == ["50"]
    assert fired(run) == [("2026-03", "40", "40")]


def test_a_nightly_tells_of_the_day_that_it_bills(run: Commands) -> None:
    """Without a refresh nobody looked at the day before it was over."""
    watch(run, alert("minutes", "20", period="day", app=APP))
    ok(run, "nightly")
    ingest(run, run.home.parent, audio("2026-03-11", 20), audio("2026-03-12", 19))
    ok(at(run, "2026-03-13T00:20:00+09:00"), "nightly")
    assert fired(run) == [("2026-03-10", "20", "30"), ("2026-03-11", "20", "20")]
    assert told(run)[0]["currency"] is None


def test_a_correction_counts_on_the_day_on_which_it_is_posted(run: Commands) -> None:
    """5 late minutes of the 10th are posted on the 11th, which has 20 of its own."""
    watch(run, alert("minutes", "25", period="day"))
    ingest(run, run.home.parent, audio("2026-03-11", 20), audio("2026-03-10", 5, "late"))
    ok(at(run, "2026-03-12T09:00:00+09:00"), "nightly")
    assert fired(run) == [("2026-03-10", "25", "30"), ("2026-03-11", "25", "25")]


def test_an_alert_of_an_app_looks_at_that_app_alone_billed_and_provisional(run: Commands) -> None:
    """The other app has 7 billed minutes and 5 provisional ones."""
    other = '[[app]]\nid = 2\naccount = "acme"\nname = "Other"\n'
    package = PACKAGE.format(id="p", minutes=100, bought="2026-04-01").replace('"acme"\n', '"acme"\napp = 2\n')
    alerts = [alert("minutes", "1000", app=app, id=f"app-{app}") for app in (APP, 2)]
    left = alert("package_remaining", "1", app=2, id="left")
    watch(run, other, package, *alerts, left, alert("minutes", "1000"))
    ingest(run, run.home.parent, audio("2026-03-11", 7).replace(str(APP), "2"))
    tomorrow = at(run, "2026-03-12T15:00:00+09:00")
    ok(tomorrow, "nightly")
    ingest(tomorrow, run.home.parent, audio("2026-03-12", 5).replace(str(APP), "2"), audio("2026-03-12", 2))
    ok(tomorrow, "refresh")
    values = {row["id"]: row["value"] for row in rows(tomorrow, "alerts")}
    assert values == {f"app-{APP}": "32", "app-2": "12", "watch": "44", "left": None}


def test_another_limit_and_another_subject_fire_anew(run: Commands) -> None:
    watch(run, alert("spend", "80%", limit="20"))
    ok(run, "refresh")
    watch(run, alert("spend", "80%", limit="37"))
    ok(run, "refresh")
    watch(run, alert("spend", "80%", limit="37", app=APP))
    ok(run, "refresh")
    ok(run, "refresh")
    assert [(each["amount"], each["app_id"]) for each in told(run)] == [("16", None), ("29.6", None), ("29.6", APP)]


def test_the_balance_fires_when_it_falls_and_again_after_it_was_back_above(run: Commands) -> None:
    watch(run, alert("balance", "-30", "-500"))
    ok(run, "refresh")
    assert fired(run) == [(None, "-30", "-30")]
    ok(run, "payment add acme 30.00 --id B1 --on 2026-03-11")
    ok(run, "refresh")
    assert [(row["value"], row["state"]) for row in rows(run, "alerts")] == [("0", "armed"), ("0", "armed")]
    ingest(run, run.home.parent, audio("2026-03-11", 31))
    ok(at(run, "2026-03-12T09:00:00+09:00"), "nightly")
    assert fired(run) == [(None, "-30", "-30"), (None, "-30", "-31")]


def test_package_minutes_are_those_that_are_left_and_a_new_package_arms_the_alert(run: Commands) -> None:
    watch(run, alert("package_remaining", "50"))
    ok(run, "refresh")
    assert [(row["value"], row["state"]) for row in rows(run, "alerts")] == [(None, "armed")]
    watch(run, alert("package_remaining", "50"), PACKAGE.format(id="p", minutes=80, bought="2026-03-11"))
    use(run, "2026-03-11", 29, "a")
    assert (fired(run), rows(run, "alerts")[0]["value"]) == ([], "51")
    use(run, "2026-03-11", 1, "b")
    assert fired(run) == [(None, "50", "50")]
    watch(run, PACKAGE.format(id="q", minutes=10, bought="2026-03-11"))
    ok(run, "refresh")
    assert [(row["value"], row["state"]) for row in rows(run, "alerts")] == [("60", "armed")]
    watch(run, alert("package_remaining", "5", package="q", id="q"))
    use(run, "2026-03-11", 59, "c")
    assert [(each["alert"], each["value"]) for each in told(run)] == [("watch", "50"), ("q", "1"), ("watch", "1")]


def test_a_package_that_expires_within_thirty_days_is_told_once(run: Commands) -> None:
    """A year from 11 March 2026 on: to 31 March 2027. The first package is used up before."""
    bought = [PACKAGE.format(id=name, minutes=30, bought="2026-03-11") for name in ("p", "q")]
    watch(run, *bought, PACKAGE.format(id="r", minutes=30, bought="2026-04-01"))
    ingest(run, run.home.parent, audio("2026-03-11", 40))
    ok(at(run, "2027-02-28T09:00:00+09:00"), "nightly")
    assert told(run, "package.expiring") == []
    for line in ("nightly", "nightly", "refresh"):
        ok(at(run, "2027-03-01T09:00:00+09:00"), line)
    ok(at(run, "2027-03-02T09:00:00+09:00"), "nightly")
    assert told(run, "package.expiring") == [
        {"account": "acme", "package": "q", "app_id": None, "remaining": 20, "last_day": "2027-03-31"}
    ]


def test_a_check_with_nothing_due_writes_nothing(run: Commands) -> None:
    watch(run, alert("spend", "40"), alert("balance", "-31", id="low"))
    ok(run, "nightly")
    before = database(run.home)
    ok(run, "nightly")
    assert database(run.home) == before


def test_what_is_wrong_with_one_account_stops_no_other(run: Commands) -> None:
    """A row of the other account was removed."""
    other = '[[account]]\nid = "a"\nname = "A"\ncurrency = "USD"\ntimezone = "Asia/Tokyo"\npolicy = "trtc-intl"\n'
    watch(run, other, alert("spend", "1", account="a", id="a"), alert("spend", "30"))
    with closing(sqlite3.connect(run.home / "billing.db")) as connection, connection:
        connection.execute("DELETE FROM account_terms WHERE account_id = 'a'")
    done = run("refresh")
    assert "the alerts of account a are not checked: the row of account 'a' in the table account_terms" in done.stderr
    assert fired(run) == [("2026-03", "30", "30")]


def test_alerts_are_listed_by_account_and_by_id(run: Commands) -> None:
    done = run("alerts")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no alerts: add an [[alert]] to the catalog\n")
    watch(run, alert("spend", "1"), alert("balance", "1", id="a"))
    assert [(row["id"], row["period"]) for row in rows(run, "alerts")] == [("a", ""), ("watch", "2026-03")]
    assert [row["id"] for row in rows(run, "alerts acme")] == ["a", "watch"]
    assert ok(run, "alerts --format csv").splitlines()[1] == "a,acme,balance,,1,,-30,,armed"
    assert "did you mean 'acme'?" in refused(run, "alerts acm", 2)
