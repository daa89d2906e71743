"""Notify: who is told of what, when a message is sent again, and that it is sent at least once with one id."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from tests.commands import ROOT, Commands, blocks
from tests.documents_home import APP, apply, at, audio, catalog, home, ok, refused, rows
from tests.sample_home import database
from tests.webhook_server import SECRET, Receiver

ISSUED = "2026-04-02T09:00:00+09:00"
HOOK = """
[[webhook]]
id = "{id}"
url = "{url}"
secret_env = "HOOK_SECRET"
allow_private = true
{keys}
"""
OTHER = """
[[account]]
id = "other"
name = "Other"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
"""


def hook(url: str, keys: str = "", name: str = "finance") -> str:
    return HOOK.format(url=url, keys=keys, id=name)


@pytest.fixture(scope="module")
def billed_month(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A home without webhooks, with a billed month that is not issued: to be copied."""
    return home(tmp_path_factory.mktemp("billed"), catalog(), [audio("2026-03-10", 3)], now=ISSUED)


@pytest.fixture
def run(billed_month: Commands, tmp_path: Path) -> Commands:
    """A copy of it."""
    return replace(billed_month, home=Path(shutil.copytree(billed_month.home, tmp_path / "home")))


def issued(run: Commands, receiver: Receiver, *hooks: str) -> Commands:
    """The same with webhooks, to which the month's invoice is to be told."""
    apply(run, run.home.parent, catalog(more="".join(hooks or [hook(receiver.url())])))
    ok(run, "invoice finalize acme --month 2026-03")
    return run


def results(run: Commands, line: str = "notify") -> list[tuple[Any, ...]]:
    """What a run did, message by message."""
    return [(row["event"], row["webhook"], row["attempt"], row["result"]) for row in rows(run, line)]


def test_a_message_is_delivered_once(run: Commands, receiver: Receiver) -> None:
    issued(run, receiver)
    [row] = rows(run, "notify")
    [request] = receiver.requests
    assert row == {
        "id": request.id,
        "event": "invoice.issued",
        "account": "acme",
        "webhook": "finance",
        "attempt": 1,
        "result": "delivered",
        "status": 204,
        "detail": "HTTP 204",
        "next_at": None,
    }
    message = request.verified()
    assert (message["type"], message["timestamp"]) == ("invoice.issued", "2026-04-02T00:00:00.000Z")
    assert (message["data"]["account"], message["data"]["number"]) == ("acme", "R-2026-000001")
    before = database(run.home)
    done = run("notify")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing to deliver\n")
    assert (len(receiver.requests), database(run.home)) == (1, before)


def test_the_receiver_of_the_page_on_webhooks_takes_a_message_once(run: Commands, receiver: Receiver) -> None:
    [code] = blocks((ROOT / "docs" / "alerts.md").read_text(encoding="utf-8"), "python")
    page: dict[str, Any] = {}
    exec(code, page)  # noqa: S102 - the example of the page
    issued(run, receiver)
    [row] = rows(run, "notify")
    ok(run, f"notify --replay {row['id']}")
    seen: set[str] = set()
    received = [page["receive"](SECRET, each.headers, each.body.encode(), seen) for each in receiver.requests]
    assert [each and each["type"] for each in received] == ["invoice.issued", None]
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        page["receive"](SECRET, receiver.requests[0].headers, b"{}", seen)


def test_a_failed_message_is_sent_again_after_a_minute_then_five_always_with_its_id(
    run: Commands,
    receiver: Receiver,
) -> None:
    issued(run, receiver)
    receiver.answer = lambda: 503
    [row] = rows(run, "notify")
    assert (row["result"], row["detail"], row["next_at"]) == ("failed", "HTTP 503", "2026-04-02T00:01:00.000+00:00")
    assert results(at(run, "2026-04-02T09:00:59+09:00")) == []
    [row] = rows(at(run, "2026-04-02T09:01:00+09:00"), "notify")
    assert (row["attempt"], row["next_at"]) == (2, "2026-04-02T00:06:00.000+00:00")
    assert results(at(run, "2026-04-02T09:05:59+09:00")) == []
    receiver.answer = lambda: 200
    assert results(at(run, "2026-04-02T09:06:00+09:00")) == [("invoice.issued", "finance", 3, "delivered")]
    assert len({request.id for request in receiver.requests}) == 1
    assert len(receiver.requests) == 3


def test_after_three_days_a_message_is_given_up_and_named_once(run: Commands, receiver: Receiver) -> None:
    issued(run, receiver)
    receiver.answer = lambda: 500
    moments = ["02T09:00", "02T09:01", "02T09:06", "02T09:36", "02T11:36", "02T17:36", "03T05:36", "04T05:36"]
    for moment in moments:
        assert [each[3] for each in results(at(run, f"2026-04-{moment}:00+09:00"))] == ["failed"]
    [row] = rows(at(run, "2026-04-05T05:36:00+09:00"), "notify")
    assert (row["result"], row["attempt"], row["status"], row["next_at"]) == ("given_up", 9, 500, None)
    assert results(at(run, "2026-04-05T09:00:01+09:00")) == []
    assert len(receiver.requests) == 9


def test_a_message_that_nobody_tried_to_send_for_three_days_is_given_up(
    run: Commands,
    receiver: Receiver,
) -> None:
    issued(run, receiver)
    late = at(run, "2026-04-05T09:00:01+09:00")
    done = late("notify")
    assert (done.exit_code, "given_up" in done.stdout) == (0, True)
    assert (results(late), receiver.requests) == ([], [])


def test_who_answers_410_gets_nothing_more_until_the_catalog_changes_it(
    run: Commands,
    receiver: Receiver,
) -> None:
    issued(run, receiver)
    ok(run, "payment add acme 1.00 --id B1 --on 2026-04-02")
    receiver.answer = lambda: 410
    assert results(run) == [("invoice.issued", "finance", 1, "gone")]
    receiver.answer = lambda: 200
    later = at(run, "2026-04-02T10:00:00+09:00")
    done = later("notify")
    said = 'webhook "finance" has answered 410 Gone: nothing is sent to it until the catalog changes it\n'
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", said)
    apply(later, run.home.parent, catalog(more=hook(receiver.url())))
    assert results(later) == []
    # At the same instant as the answer: the order counts, not the clock.
    apply(run, run.home.parent, catalog(more=hook(receiver.url() + "&again=1")))
    assert results(later) == [
        ("invoice.issued", "finance", 2, "delivered"),
        ("payment.received", "finance", 1, "delivered"),
    ]


def test_a_webhook_is_told_of_its_events_and_its_account(run: Commands, receiver: Receiver) -> None:
    hooks = (
        OTHER,
        hook(receiver.url(), 'events = ["payment.received"]', "payments"),
        hook(receiver.url(), 'account = "other"', "others"),
        hook(receiver.url(), 'account = "acme"', "acme"),
    )
    issued(run, receiver, *hooks)
    ok(run, "payment add acme 1.00 --id B1 --on 2026-04-02")
    assert results(run) == [
        ("invoice.issued", "acme", 1, "delivered"),
        ("payment.received", "acme", 1, "delivered"),
        ("payment.received", "payments", 1, "delivered"),
    ]


def test_a_webhook_is_told_of_nothing_from_before_it_was_added(run: Commands, receiver: Receiver) -> None:
    ok(run, "payment add acme 1.00 --id B1 --on 2026-04-02")
    later = at(run, "2026-04-02T09:00:01+09:00")
    issued(later, receiver)
    assert results(later) == [("invoice.issued", "finance", 1, "delivered")]


def test_another_address_gets_what_the_old_one_did_not_accept(run: Commands, receiver: Receiver) -> None:
    issued(run, receiver, hook("https://127.0.0.1:9"))
    assert results(run) == [("invoice.issued", "finance", 1, "failed")]
    later = at(run, "2026-04-02T09:01:00+09:00")
    apply(later, run.home.parent, catalog(more=hook(receiver.url())))
    assert results(later) == [("invoice.issued", "finance", 2, "delivered")]


def test_a_replay_sends_a_message_again_to_all_who_are_told_with_its_id(
    run: Commands,
    receiver: Receiver,
) -> None:
    hooks = (hook(receiver.url()), hook(receiver.url(), 'events = ["payment.received"]', "payments"))
    issued(run, receiver, *hooks)
    [row] = rows(run, "notify")
    assert results(run, f"notify --replay {row['id']}") == [("invoice.issued", "finance", 2, "replayed")]
    receiver.answer = lambda: 500
    assert results(run, f"notify --replay {row['id']}") == [("invoice.issued", "finance", 3, "failed")]
    assert {request.id for request in receiver.requests} == {row["id"]}
    # It was delivered before, so nothing is owed.
    assert results(at(run, "2026-04-02T10:00:00+09:00")) == []


def test_only_messages_that_somebody_is_told_of_can_be_replayed(run: Commands, receiver: Receiver) -> None:
    said = "unknown message 'msg_1': give the id that the receiver saw as webhook-id"
    assert said in refused(run, "notify --replay msg_1", 2)
    issued(run, receiver)
    [row] = rows(run, "notify")
    apply(run, run.home.parent, catalog(more=hook(receiver.url(), 'events = ["feed.silent"]')))
    said = "no webhook of the catalog is told of invoice.issued of account acme\n"
    assert said in refused(run, f"notify --replay {row['id']}", 2)


def test_a_missing_secret_is_said_and_the_others_are_told(
    run: Commands,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = hook(receiver.url(), name="file").replace('secret_env = "HOOK_SECRET"', 'secret_file = "hook.secret"')
    issued(run, receiver, hook(receiver.url(), name="env"), file)
    monkeypatch.delenv("HOOK_SECRET")
    done = run("notify")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        'Error: webhook "env": the environment variable HOOK_SECRET is not set: put its secret there',
        f'Error: webhook "file": its secret cannot be read from {run.home}/hook.secret (No such file or directory): '
        "put it there",
    ]
    (run.home / "hook.secret").write_text(SECRET)
    done = run("notify --format json")
    assert (done.exit_code, len(receiver.requests)) == (1, 1)
    receiver.requests[0].verified()


def test_an_address_that_never_answers_holds_up_only_three_messages(run: Commands, receiver: Receiver) -> None:
    issued(run, receiver, hook("https://127.0.0.1:9", name="dead"), hook(receiver.url()))
    for number in range(4):
        ok(run, f"payment add acme 1.00 --id B{number} --on 2026-04-02")
    assert [each[1:] for each in results(run)] == [("dead", 1, "failed")] * 3 + [("finance", 1, "delivered")] * 5
    assert [each[1:] for each in results(run)] == [("dead", 1, "failed")] * 2


def command(run: Commands) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "BILLING_HOME": str(run.home), "BILLING_NOW": run.now, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "billing.cli", "notify"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_a_process_killed_before_it_has_recorded_the_delivery_sends_the_message_once_more(
    run: Commands,
    receiver: Receiver,
) -> None:
    issued(run, receiver)
    process: list[subprocess.Popen[bytes]] = []

    def killing() -> int:
        process[0].send_signal(signal.SIGKILL)
        process[0].wait()
        return 204

    receiver.answer = killing
    before = database(run.home)
    process.append(command(run))
    process[0].communicate(timeout=60)
    assert (process[0].returncode, len(receiver.requests), database(run.home)) == (-signal.SIGKILL, 1, before)
    receiver.answer = lambda: 204
    assert results(run) == [("invoice.issued", "finance", 1, "delivered")]
    assert receiver.requests[0].id == receiver.requests[1].id


def test_two_processes_at_once_send_a_message_once(run: Commands, receiver: Receiver) -> None:
    issued(run, receiver)

    def slow() -> int:
        time.sleep(2)
        return 204

    receiver.answer = slow
    processes = [command(run) for _ in range(2)]
    outputs = b"".join(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert (len(receiver.requests), outputs.count(b"delivered"), outputs.count(b"nothing to deliver")) == (1, 1, 1)


def silent_night(run: Commands, folder: Path, now: str) -> Commands:
    """A night after a day on which a user entered at 10:00 and nothing came after."""
    row = f'{{"app_id": {APP}, "at": "2026-04-02T10:00:00+09:00", "room_id": "r", "user_id": "u", "type": "enter"}}\n'
    (folder / "silent.ndjson").write_text(row)
    tomorrow = at(run, now)
    ok(tomorrow, f"ingest {folder / 'silent.ndjson'}")
    ok(tomorrow, "nightly")
    return tomorrow


@pytest.mark.parametrize(("now", "told"), [("2026-04-03T00:20:00+09:00", 1), ("2026-04-09T00:20:00+09:00", 0)])
def test_a_feed_that_fell_silent_lately_is_told_once(
    run: Commands,
    receiver: Receiver,
    tmp_path: Path,
    now: str,
    told: int,
) -> None:
    apply(run, run.home.parent, catalog(more=hook(receiver.url())))
    night = silent_night(run, tmp_path, now)
    ok(night, "nightly")
    assert results(night) == [("feed.silent", "finance", 1, "delivered")] * told
    assert [request.verified()["data"] for request in receiver.requests] == [
        {"account": "acme", "app_id": APP, "silent_since": "2026-04-02T10:00:00+09:00", "open_stays": 1}
    ] * told
