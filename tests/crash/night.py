"""A few nights of one installation, as the commands that are killed: each leads from one state of the home to the next.

Four accounts in four time zones, under all three policies, with free minutes and packages that run out, a contract,
stays that last over midnight, rows that come twice, contradict each other or cannot be read, an app that is added
later, a trace of a foreign server, events that come late, and one that is retracted.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sample_data.demo import SAMPLE_DATA

APP = {"tokyo": 1400000001, "utc": 1400000002, "berlin": 1400000003, "newyork": 1400000004, "added": 1400000005}
DAY = 86_400
FIRST = int(datetime(2026, 10, 12, tzinfo=UTC).timestamp())

CATALOG = """
[seller]
name = "Example Rooms Ltd."

[[tax]]
id = "jp-10"
[[tax.version]]
valid_from = 2019-10-01
category = "S"
rate = "10"
rounding = "down"
text = "10 %"

[[account]]
id = "tokyo"
name = "Tokyo K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 90
tax = "jp-10"
overdue_policy = "trtc"

[[package]]
id = "small"
account = "tokyo"
app = 1400000001
minutes = 900
purchased_at = "2026-09-13T18:00:00+09:00"
term = "month"

[[package]]
id = "large"
account = "tokyo"
minutes = 600
purchased_at = "2026-10-12T18:00:00+09:00"
price = "0.60"

[[account]]
id = "utc"
name = "Evening School"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[account]]
id = "berlin"
name = "Berlin GmbH"
currency = "CNY"
timezone = "Europe/Berlin"
policy = "trtc-cn"

[[package]]
id = "hanse"
account = "berlin"
minutes = 100
purchased_at = "2026-10-12T09:00:00+02:00"

[[account]]
id = "newyork"
name = "New York Inc."
currency = "USD"
timezone = "America/New_York"
policy = "trtc-intl-2021"

[[contract]]
account = "newyork"
valid_from = "2026-10-13"
discount = "0.9"
"""
for _name, _id in APP.items():
    if _name != "added":
        CATALOG += f'\n[[app]]\nid = {_id}\naccount = "{_name}"\nname = "Rooms"\n'

GROWN = f"""
[[app]]
id = {APP["added"]}
account = "tokyo"
name = "More rooms"

[[package]]
id = "later"
account = "utc"
minutes = 50
purchased_at = "2026-10-12T12:00:00Z"
"""


PREPAID = """
[[package]]
id = "prepaid"
account = "tokyo"
minutes = 25000
purchased_at = "2026-11-02T12:00:00+09:00"
price = "24.00"
charge = "prepaid"
"""


# Nobody listens at its address.
WEBHOOK = """
[[webhook]]
id = "nobody"
url = "http://127.0.0.1:9/"
secret_env = "BILLING_CRASH_SECRET"
events = ["payment.received"]
allow_private = true
"""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the test


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One command, at one moment; `is_once`: it is refused when it is run again after it was done."""

    name: str
    line: str
    now: str
    is_once: bool = False

    @property
    def arguments(self) -> list[str]:
        """The words of the command; `FILES` and `OUT` are directories beside the home."""
        return self.line.split()


_EARLY, _MORNING, _NEXT = "2026-10-14T01:00:00Z", "2026-10-14T11:00:00Z", "2026-10-15T11:00:00Z"

_MONTH = "2026-11-02T11:00:00Z"

_TRACE = "ingest --source janus --app 1400000002"

STAGES = [
    Stage(name="init", line="init", now=_EARLY),
    Stage(name="catalog", line="catalog apply FILES/catalog.toml", now=_EARLY),
    Stage(name="first ingest", line="ingest FILES/first.ndjson", now=_EARLY),
    Stage(name="refresh", line="refresh", now=_EARLY),
    Stage(name="second ingest", line="ingest FILES/second.ndjson FILES/third.csv", now=_EARLY),
    Stage(name="catalog that grows", line="catalog apply FILES/grown.toml", now=_EARLY),
    Stage(name="quarantine retry", line="quarantine retry", now=_EARLY),
    Stage(name="ingest of a trace", line=f"{_TRACE} FILES/trace-1.jsonl", now=_EARLY),
    Stage(name="ingest of the rest of a trace", line=f"{_TRACE} FILES/trace-2.jsonl FILES/trace-3.jsonl", now=_EARLY),
    Stage(name="refresh after more events", line="refresh", now=_EARLY),
    Stage(name="nightly", line="nightly", now=_MORNING),
    Stage(name="late ingest", line="ingest FILES/late.ndjson", now=_NEXT),
    Stage(name="late record of a trace", line=f"{_TRACE} FILES/trace-late.jsonl", now=_NEXT),
    Stage(name="nightly after late events", line="nightly", now=_NEXT),
    Stage(name="later ingest", line="ingest FILES/later.ndjson", now=_NEXT),
    Stage(name="compact", line="compact", now=_NEXT),
    Stage(name="rebill", line="rebill berlin --from 2026-10-13 --reason asked", now=_NEXT),
    Stage(name="retract", line="retract --app 1400000001 --event-id lesson-0-1-3 --reason asked", now=_NEXT),
    Stage(name="nightly after a retraction", line="nightly", now=_NEXT),
    Stage(name="retract undone", line="retract --app 1400000001 --event-id lesson-0-1-3 --undo", now=_NEXT),
    Stage(name="watch", line="watch OUT/spool --once --settle 0", now=_NEXT),
    Stage(name="invoice export", line="invoice export tokyo --month 2026-10 -o OUT/tokyo.xlsx", now=_NEXT),
    Stage(name="invoice export again", line="invoice export tokyo --month 2026-10 -o OUT/tokyo.xlsx", now=_NEXT),
    Stage(name="nightly after the month", line="nightly", now=_MONTH),
    Stage(name="payment", line="payment add tokyo 1.00 --id B1", now=_MONTH),
    Stage(name="finalize", line="invoice finalize --all --month 2026-10", now=_MONTH),
    Stage(name="catalog with a prepaid package", line="catalog apply FILES/prepaid.toml", now=_MONTH),
    Stage(name="payment of invoices", line="payment add tokyo 5.00 --id B2", now=_MONTH),
    Stage(name="package refund", line="package refund prepaid", now=_MONTH, is_once=True),
    Stage(name="reissue", line="invoice reissue INV-2026-000002", now=_MONTH, is_once=True),
    Stage(name="audit", line="audit", now=_MONTH),
    Stage(name="catalog with a webhook", line="catalog apply FILES/webhook.toml", now=_MONTH),
    Stage(name="payment with a message", line="payment add tokyo 2.00 --id B3", now=_MONTH),
    Stage(name="notify", line="notify", now=_MONTH),
]
NAMES = [stage.name for stage in STAGES]
SPOOL = "spool"


def write_files(directory: Path, spool: Path) -> None:
    """The files that the stages read, and those that arrive in a spool directory."""
    directory.mkdir()
    spool.mkdir()
    _write(spool / "1.ndjson", [*_lesson(APP["utc"], "spool-1", FIRST + 2 * DAY + 3 * 3600, minutes=11)])
    _write(spool / "2.ndjson", [*_late(APP["utc"])])
    (directory / "catalog.toml").write_text(CATALOG, encoding="utf-8")
    (directory / "grown.toml").write_text(GROWN, encoding="utf-8")
    (directory / "prepaid.toml").write_text(PREPAID, encoding="utf-8")
    (directory / "webhook.toml").write_text(WEBHOOK, encoding="utf-8")
    _write_trace(directory)
    tokyo, berlin, newyork, added = (list(_days(APP[name])) for name in ("tokyo", "berlin", "newyork", "added"))
    _write(directory / "first.ndjson", [*tokyo, *_wrong(tokyo), *newyork[:40], *added[:20]])
    _write(directory / "second.ndjson", [*tokyo[10:30], *newyork[20:], *_wrong(newyork), *added[10:]])
    header = list(berlin[0])
    rows = [",".join(str(event.get(name, "")) for name in header) for event in berlin]
    (directory / "third.csv").write_text("\n".join([",".join(header), *rows, "not,a,row", ""]), encoding="utf-8")
    _write(directory / "late.ndjson", [*_late(APP["tokyo"]), *_late(APP["newyork"]), *_today(APP["berlin"])])
    _write(directory / "later.ndjson", [*_late(APP["berlin"])])


def _write_trace(directory: Path) -> None:
    """A recorded room in three files; a hangup comes later, which tells that a page was closed."""
    lines = gzip.decompress((SAMPLE_DATA / "janus" / "events.jsonl.gz").read_bytes()).splitlines(keepends=True)
    late = [line for line in lines if b"DTLS alert" in line]
    rest = [line for line in lines if line not in late]
    for name, part in (("1", rest[:300]), ("2", [*rest[300:500], b"no json"]), ("3", rest[500:]), ("late", late)):
        (directory / f"trace-{name}.jsonl").write_bytes(b"".join(part))


def _write(path: Path, events: Sequence[object]) -> None:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events) + "{no json\n", encoding="utf-8")


def _days(app: int) -> Iterator[dict[str, object]]:
    """Two days of lessons; the last of each day goes on over midnight, UTC."""
    for day in range(2):
        for lesson, hour in enumerate((1, 9, 15, 23.75)):
            start = FIRST + day * DAY + int(hour * 3600)
            yield from _lesson(app, f"lesson-{day}-{lesson}", start, minutes=23 + 7 * lesson)


def _lesson(app: int, room: str, start: int, *, minutes: int) -> Iterator[dict[str, object]]:
    """A teacher and two students who see him; one student comes back after a lost connection, one forgets to leave."""
    for number, (user, second, kind) in enumerate(
        [
            ("teacher", 0, "enter"),
            ("ann", 31, "enter"),
            ("ann", 35, "video_on"),
            ("bob", 70, "enter"),
            ("bob", 71, "video_on"),
            ("ann", 400, "disconnect"),
            ("ann", 440, "reconnect"),
            ("bob", 500, "enter"),  # a finding
            ("eve", 600, "video_off"),  # another
            ("ann", minutes * 60 - 20, "exit"),
            ("bob", minutes * 60 - 10, "exit"),
            ("teacher", minutes * 60, "dismiss" if room.endswith("0") else "exit"),
        ]
    ):
        if kind == "exit" and user == "bob" and room.endswith("1-3"):
            continue  # he never leaves
        event = {"event_id": f"{room}-{number}", "app_id": app, "room_id": room, "user_id": user}
        event |= {"at": (start + second) * 1000 + number, "type": kind, "stream": "", "width": "", "height": ""}
        if kind == "video_on":
            event |= {"stream": "teacher/camera", "width": 640 + 640 * (user == "ann"), "height": 720}
        elif kind == "video_off":
            event["stream"] = "teacher/camera"
        yield {name: value for name, value in event.items() if value != "" or app == APP["berlin"]}


def _wrong(events: Sequence[dict[str, object]]) -> list[object]:
    """Rows that contradict one that came before, have no offset, or lack something."""
    return [{**events[2], "width": 1920}, {**events[4], "at": "2026-10-12T10:00:00"}, {"app_id": 1}, events[3]]


def _late(app: int) -> Iterator[dict[str, object]]:
    """A room on the first billed day that nobody had heard of."""
    for event in _lesson(app, "late-1", FIRST + 12 * 3600, minutes=17):
        yield {name: value for name, value in event.items() if value != ""}


def _today(app: int) -> Iterator[dict[str, object]]:
    """A room on the day after the last billed one."""
    for event in _lesson(app, "today-1", FIRST + 2 * DAY + 10 * 3600, minutes=35):
        yield {name: value for name, value in event.items() if value != ""}
