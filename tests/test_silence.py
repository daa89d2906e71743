"""Silence: a feed that stops with users inside is named, and its day held if the account wants that."""

import json
from pathlib import Path

import polars as pl
import pytest

from billing.metering.schemas import STATE_SCHEMA
from billing.metering.silence import SilentApp, silent_apps
from tests.commands import Commands, Done
from tests.sample_home import database, rows

HELD = "the day is held until events arrive, or `billing nightly --despite-silence`"
CATALOG = """
[[account]]
id = "{id}"
name = "{id}"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
{hold}
[[app]]
id = {app}
account = "{id}"
name = "App"
"""
STOPPED = "app 1 silent since 2026-03-10T10:00:00+09:00 with open stays (2)"


def event(app: int, at: str, kind: str, user: str = "u") -> dict[str, object]:
    return {"app_id": app, "at": f"{at}+09:00", "room_id": "r", "user_id": user, "type": kind}


def ingested(run: Commands, *events: dict[str, object]) -> Done:
    file = run.home.parent / "events.ndjson"
    file.write_text("".join(json.dumps(each) + "\n" for each in events))
    return run(f"ingest {file}")


def home(tmp_path: Path, **holds: str) -> Commands:
    """A home with the accounts `holds`, app 1, 2, … each: two users enter the app's room, and the feed stops at 10:00.
    Of the last app both users leave at 23:00."""
    run = Commands(home=tmp_path / "home")
    catalog = tmp_path / "catalog.toml"
    for app, (account, hold) in enumerate(holds.items(), 1):
        catalog.write_text(catalog.read_text() if catalog.exists() else "")
        with catalog.open("a") as file:
            file.write(CATALOG.format(id=account, app=app, hold=hold and f'hold_if_silent = "{hold}"'))
    for line in ("init", f"catalog apply {catalog}"):
        assert run(line).exit_code == 0
    events = []
    for app in range(1, len(holds) + 1):
        events += [event(app, "2026-03-10T09:00:00", "enter"), event(app, "2026-03-10T10:00:00", "enter", "v")]
    events += [event(len(holds), "2026-03-10T23:00:00", "exit", user) for user in ("u", "v")]
    assert ingested(run, *events).exit_code == 0
    return run


def outcomes(done: Done) -> list[tuple[str, str, str, str]]:
    assert done.exit_code == 0, done.output
    fields = ("account", "day", "result", "detail")
    return sorted(tuple(row[field] for field in fields) for row in json.loads(done.stdout))


def test_a_feed_that_stopped_with_users_inside_is_named(tmp_path: Path) -> None:
    """The day is billed: 900 and 840 minutes up to midnight. Without a word these were hours of audio."""
    run = home(tmp_path, stopped="", fine="")
    done = run("nightly --format json")
    assert outcomes(done) == [
        ("fine", "2026-03-10", "billed", "1,620 minutes"),
        ("stopped", "2026-03-10", "billed", f"1,740 minutes; {STOPPED}"),
    ]
    assert done.stderr == f"stopped, 2026-03-10: {STOPPED}\n"
    assert [row["detail"] for row in rows(run, "runs")] == ["1,740 minutes", "1,620 minutes"]


def test_an_account_can_have_such_a_day_held_until_events_arrive(tmp_path: Path) -> None:
    """Nothing is written of it; later days wait, other accounts do not."""
    run = home(tmp_path, stopped="PT2H", fine="PT2H")
    done = run("nightly --format json")
    assert outcomes(done) == [
        ("fine", "2026-03-10", "billed", "1,620 minutes"), ("stopped", "2026-03-10", "held", STOPPED),
    ]  # fmt: skip
    assert done.stderr == f"stopped, 2026-03-10: {STOPPED}; {HELD}\n"
    before = database(run.home)
    later = Commands(home=run.home, now="2026-03-12T09:00:00+09:00")
    assert outcomes(later("nightly --format json --account stopped")) == [("stopped", "2026-03-10", "held", STOPPED)]
    assert database(run.home) == before
    assert ingested(later, *(event(1, "2026-03-10T11:00:00", "exit", user) for user in "uv")).exit_code == 0
    assert outcomes(later("nightly --format json --account stopped")) == [
        ("stopped", "2026-03-10", "billed", "180 minutes"), ("stopped", "2026-03-11", "billed", "0 minutes"),
    ]  # fmt: skip


def test_an_event_after_the_end_of_the_day_shows_that_the_feed_works(tmp_path: Path) -> None:
    run = home(tmp_path, stopped="PT2H", fine="")
    assert ingested(run, event(1, "2026-03-11T00:10:00", "exit")).exit_code == 0
    done = run("nightly --format json --account stopped")
    assert (outcomes(done), done.stderr) == ([("stopped", "2026-03-10", "billed", "1,740 minutes")], "")


def test_a_held_day_is_billed_despite_silence_when_asked(tmp_path: Path) -> None:
    run = home(tmp_path, stopped="PT2H", fine="")
    later = Commands(home=run.home, now="2026-03-12T09:00:00+09:00")
    assert outcomes(later("nightly --format json --despite-silence --account stopped")) == [
        ("stopped", "2026-03-10", "billed", f"1,740 minutes; {STOPPED}"),
        (
            "stopped",
            "2026-03-11",
            "billed",
            "1,140 minutes, 2 findings",
        ),  # 9 and 10 hours, to 24 hours after the last events
    ]


@pytest.mark.parametrize(("hold", "result"), [("PT13H59M", "held"), ("PT14H", "billed"), ("P1D", "billed")])
def test_a_day_is_held_after_the_time_that_the_account_names(tmp_path: Path, hold: str, result: str) -> None:
    """The last event was 14 hours before midnight: a longer silence may pass, though it is named."""
    ((*_, found, detail),) = outcomes(home(tmp_path, stopped=hold, fine="")("nightly --format json --account stopped"))
    assert (found, STOPPED in detail) == (result, True)


def test_the_key_of_the_catalog_is_checked_kept_and_shown(tmp_path: Path) -> None:
    run = home(tmp_path, stopped="PT90M", fine="")
    shown = run("catalog show")
    assert 'hold_if_silent = "PT90M"' in shown.stdout
    for wrong in ("2h", "PT", "P1DT1S", "PT0S", "-PT2H", "P1M", "PT1.5H"):
        (tmp_path / "wrong.toml").write_text(CATALOG.format(id="x", app=9, hold=f'hold_if_silent = "{wrong}"'))
        done = run(f"catalog apply {tmp_path}/wrong.toml")
        assert (done.exit_code, "hold_if_silent: " in done.stderr) == (1, True), wrong


def state(*stays: tuple[int, int]) -> pl.DataFrame:
    """Open stays by app and last event."""
    stored = [(app, "r", str(n), last, None, *[[]] * 5, None, None) for n, (app, last) in enumerate(stays)]
    return pl.DataFrame(stored, schema=STATE_SCHEMA, orient="row")


def test_the_log_is_asked_only_about_apps_whose_stays_are_all_old() -> None:
    asked = []

    def last_events(apps: object) -> dict[int, int]:
        asked.append(apps)
        return {1: 92_799_999, 3: 92_800_000}

    found = silent_apps(state((1, 5), (1, 7), (2, 92_800), (2, 1), (3, 9)), 100_000, last_events)
    assert (found, asked) == ([SilentApp(app_id=1, stays=2, last_at=92_799_999)], [[1, 3]])


def test_without_old_stays_nothing_is_asked() -> None:
    assert silent_apps(state((2, 92_800)), 100_000, lambda _: pytest.fail("asked")) == []
