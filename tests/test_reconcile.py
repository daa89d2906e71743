"""A provider's statement that is wrong in a known way: the command names the way.

The statements are made here, from what `billing usage` prints, with plain loops.
"""

import json
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Commands
from tests.sample_home import rows

APP = 1400000001
DAYS = ("2026-03-08", "2026-03-09", "2026-03-10")
PERIOD = f"--from {DAYS[0]} --to {DAYS[-1]}"
SIZES = ((640, 360), (1280, 720), (1920, 1080))
ITEMS = {"audio": "Audio", "sd": "SD", "hd": "HD", "fhd": "FullHD", "2k": "2K", "4k": "4K"}
LATE = {"event_id": "late", "room_id": "r0", "user_id": "late", "type": "enter", "app_id": APP}


def _events() -> list[dict[str, Any]]:
    """Six classes a day: people enter, lose the connection, come back, receive cameras, and leave."""
    draw, found = random.Random(7), []
    for number, day in enumerate(DAYS * 6):
        room, begin = (
            f"r{number}",
            datetime.fromisoformat(f"{day}T08:00:00+09:00") + timedelta(minutes=97 * (number // 3)),
        )
        users = ["recorder", *(f"u{each}" for each in range(draw.randint(2, 4)))]
        for user in users:
            entered = begin + timedelta(seconds=draw.randint(0, 900))
            base = {"app_id": APP, "room_id": room, "user_id": user}
            role = {"role": "recorder"} if user == "recorder" else {}
            found.append({**base, "at": entered.isoformat(), "type": "enter", **role})
            for other in users[1:]:
                if other != user and draw.random() < 0.7:
                    width, height = draw.choice(SIZES)
                    at = entered + timedelta(seconds=draw.randint(1, 600))
                    on = {"type": "video_on", "stream": f"{other}/camera", "width": width, "height": height}
                    found.append({**base, "at": at.isoformat(), **on})
            if draw.random() < 0.8:
                lost = entered + timedelta(seconds=draw.randint(700, 1500))
                found.append({**base, "at": lost.isoformat(), "type": "disconnect"})
                back = lost + timedelta(seconds=draw.randint(20, 80))
                found.append({**base, "at": back.isoformat(), "type": "reconnect"})
            left = entered + timedelta(seconds=draw.randint(1700, 4100))
            found.append({**base, "at": left.isoformat(), "type": "exit"})
    return found


@pytest.fixture(scope="module")
def settled(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Three days of classes, settled; then somebody who had been there came late, and was corrected."""
    directory = tmp_path_factory.mktemp("reconcile")
    commands = Commands(home=Path(shutil.copytree(homes / "new", directory / "home")))
    _ingest(commands, directory / "events.ndjson", _events())
    assert commands("nightly").exit_code == 0
    late = [LATE | {"at": f"{DAYS[0]}T08:00:00+09:00"}, LATE | {"event_id": "gone", "type": "exit"}]
    late[1]["at"] = f"{DAYS[0]}T10:30:00+09:00"
    _ingest(commands, directory / "late.ndjson", late)
    assert commands("nightly").exit_code == 0
    return commands


def _ingest(commands: Commands, file: Path, events: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert commands(f"ingest {file}").exit_code == 0


def _up(seconds: int) -> int:
    return -(-seconds // 60)


def _used(commands: Commands, by: str) -> list[dict[str, Any]]:
    return rows(commands, f"usage {APP} {PERIOD} --by {by}")


def _by_day(used: Iterable[dict[str, Any]], key: str = "day") -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    for row in used:
        sums[row[key][:10], row["item"]] += row["seconds"]
    return sums


def _statement(values: dict[tuple[str, str], int]) -> str:
    """A statement of Tencent's shape by day, in minutes."""
    days = sorted({day for day, _ in values})
    lines = [",".join([day, *(str(values.get((day, item), 0)) for item in ITEMS)]) for day in days]
    return "\n".join([",".join(["TimeKey", *ITEMS.values()]), *lines, ""])


def _reconciled(commands: Commands, tmp_path: Path, text: str, options: str = "") -> list[dict[str, Any]]:
    file = tmp_path / "statement"
    file.write_text(text)
    return rows(commands, f"reconcile {file} --format trtc-usage --app {APP} {options}")


def _causes(found: list[dict[str, Any]]) -> set[str | None]:
    different = [row for row in found if row["status"] not in ("equal", "within")]
    assert different
    return {row["cause"] for row in different}


def test_a_statement_that_agrees_has_only_equal_cells(settled: Commands, tmp_path: Path) -> None:
    minutes = {key: _up(seconds) for key, seconds in _by_day(_used(settled, "day")).items()}
    found = _reconciled(settled, tmp_path, _statement(minutes))
    assert {(row["status"], row["cause"]) for row in found} == {("equal", None)}
    assert {(row["start"][:10], row["item"]): int(row["ours"]) for row in found if row["ours"] != "0"} == minutes


def _without(reason: str) -> Callable[[Commands], dict[tuple[str, str], int]]:
    def made(commands: Commands) -> dict[tuple[str, str], int]:
        kept = [row for row in _used(commands, "day") if row["reason"] != reason]
        return {key: _up(seconds) for key, seconds in _by_day(kept).items()}

    return made


def _in_seconds(commands: Commands) -> dict[tuple[str, str], int]:
    return _by_day(_used(commands, "day"))


def _times_sixty(commands: Commands) -> dict[tuple[str, str], int]:
    return {key: 60 * _up(seconds) for key, seconds in _by_day(_used(commands, "day")).items()}


def _doubled(commands: Commands) -> dict[tuple[str, str], int]:
    return {key: 2 * _up(seconds) for key, seconds in _by_day(_used(commands, "day")).items()}


def _rounded_by(*keys: str, by: str) -> Callable[[Commands], dict[tuple[str, str], int]]:
    def made(commands: Commands) -> dict[tuple[str, str], int]:
        parts: Counter[tuple[str, ...]] = Counter()
        for row in _used(commands, by):
            parts[(row.get("day", row.get("start", ""))[:10], row["item"], *(str(row[key]) for key in keys))] += row[
                "seconds"
            ]
        minutes: Counter[tuple[str, str]] = Counter()
        for (day, item, *_), seconds in parts.items():
            minutes[day, item] += _up(seconds)
        return minutes

    return made


def _in_utc(commands: Commands) -> dict[tuple[str, str], int]:
    sums: Counter[tuple[str, str]] = Counter()
    for row in _used(commands, "window"):
        day = (datetime.fromisoformat(row["start"]) - timedelta(hours=9)).date().isoformat()
        sums[day, row["item"]] += row["seconds"]
    return {key: _up(seconds) for key, seconds in sums.items()}


def _before_the_late_events(commands: Commands) -> dict[tuple[str, str], int]:
    kept = [row for row in _used(commands, "day") if row["kind"] == "usage"]
    return {key: _up(seconds) for key, seconds in _by_day(kept).items()}


def _without_recorders(commands: Commands) -> dict[tuple[str, str], int]:
    kept = [row for row in _used(commands, "user") if row["user_id"] != "recorder"]
    return {key: _up(seconds) for key, seconds in _by_day(kept).items()}


def _with_a_gap(commands: Commands) -> dict[tuple[str, str], int]:
    """They know nothing of 08:10 to 08:25 of the second day."""
    lost = [f"{DAYS[1]}T08:{minute}:00+09:00" for minute in (10, 15, 20)]
    kept = [row for row in _used(commands, "window") if row["start"] not in lost]
    return {key: _up(seconds) for key, seconds in _by_day(kept, "start").items()}


@pytest.mark.parametrize(
    ("cause", "made"),
    [
        ("unit", _in_seconds),
        ("unit", _times_sixty),
        ("doubled", _doubled),
        ("grace", _without("disconnect_grace")),
        ("alone", _without("alone_in_room")),
        ("rounding_window", _rounded_by("start", by="window")),
        ("rounding_room", _rounded_by("room_id", by="room")),
        ("rounding_stay", _rounded_by("room_id", "user_id", by="user")),
        ("time_zone", _in_utc),
        ("late_events", _before_the_late_events),
        ("recorders", _without_recorders),
        ("gap", _with_a_gap),
    ],
)
def test_the_cause_of_a_difference_is_named(
    cause: str, made: Callable[[Commands], dict[tuple[str, str], int]], settled: Commands, tmp_path: Path
) -> None:
    found = _reconciled(settled, tmp_path, _statement(made(settled)))
    assert _causes(found) == {cause}
    assert all(float(row["explained"]) >= 0.98 and row["evidence"] for row in found if row["cause"])


def test_a_cause_and_the_other_unit_are_found_together(settled: Commands, tmp_path: Path) -> None:
    kept = [row for row in _used(settled, "day") if row["reason"] != "disconnect_grace"]
    assert _causes(_reconciled(settled, tmp_path, _statement(_by_day(kept)))) == {"grace and unit"}


def test_the_other_method_is_found(settled: Commands, tmp_path: Path) -> None:
    """A statement that counts each stream, made by a home whose policy does."""
    policy = tmp_path / "policy.toml"
    policy.write_text(PER_STREAM)
    other = Commands(home=tmp_path / "other")
    files = " ".join(f"{settled.home.parent / name}.ndjson" for name in ("events", "late"))
    for line in ("init", f"catalog apply {policy}", f"ingest {files}", "nightly"):
        assert other(line).exit_code == 0, line
    minutes = {key: _up(seconds) for key, seconds in _by_day(_used(other, "day")).items()}
    assert _causes(_reconciled(settled, tmp_path, _statement(minutes))) == {"method"}


PER_STREAM = f"""
[[policy]]
id = "streams"
name = "Each stream"
[[policy.version]]
valid_from = 2020-01-01
method = "per_stream"
free_minutes = 0
tiers = [
    {{ item = "hd", top_area = 921600 }},
    {{ item = "fhd", top_area = 2073600 }},
    {{ item = "2k", top_area = 3686400 }},
    {{ item = "4k" }},
]
ratios = {{ audio = 1, hd = 4, fhd = 9, 2k = 16, 4k = 36 }}
prices = {{ USD = {{ audio = "1", hd = "4", fhd = "9", 2k = "16", 4k = "36" }} }}

[[account]]
id = "academy"
name = "Academy"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "streams"

[[app]]
id = {APP}
account = "academy"
name = "Classroom"
"""


def test_what_no_cause_explains_has_none(settled: Commands, tmp_path: Path) -> None:
    draw = random.Random(1)
    minutes = {key: _up(seconds) + draw.randint(5, 50) for key, seconds in _by_day(_used(settled, "day")).items()}
    assert _causes(_reconciled(settled, tmp_path, _statement(minutes))) == {None}


def test_windows_of_one_day_and_their_gap(settled: Commands, tmp_path: Path) -> None:
    """The answer of the API as JSON: minutes that each window adds, zeros filled."""
    day = f"--from {DAYS[1]} --to {DAYS[1]} --by window --unit minutes"
    added: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows(settled, f"usage {APP} {day}"):
        added[row["start"][:16].replace("T", " ")][row["item"]] += row["minutes"]
    keys = list(ITEMS.values())
    midnight = datetime.fromisoformat(f"{DAYS[1]} 00:00")
    times = [f"{midnight + timedelta(minutes=5 * number):%Y-%m-%d %H:%M}" for number in range(288)]
    usage = [{"TimeKey": time, "UsageValue": [added[time][item] for item in ITEMS]} for time in times]
    answer = {"Response": {"UsageKey": keys, "UsageList": usage, "RequestId": "1"}}
    found = _reconciled(settled, tmp_path, json.dumps(answer))
    assert {row["status"] for row in found} == {"equal"}
    lost = [time for time in times if "08:10" <= time[11:] < "09:10"]
    assert any(added[time].total() > 1 for time in lost)
    for row in usage:
        if row["TimeKey"] in lost:
            row["UsageValue"] = [0] * 6
    assert _causes(_reconciled(settled, tmp_path, json.dumps(answer))) == {"gap"}


def test_rooms_of_a_day_are_compared_in_seconds(settled: Commands, tmp_path: Path) -> None:
    rooms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows(settled, f"usage {APP} --from {DAYS[2]} --to {DAYS[2]} --by room"):
        rooms[row["room_id"]][row["item"]] += row["seconds"]
    lines = [",".join([room, *(str(seconds[item]) for item in ITEMS)]) for room, seconds in rooms.items()]
    text = "\n".join(["RoomId,Audio,SD,hd,FullHD,2K,4K", *lines, ""])
    file = tmp_path / "rooms.csv"
    file.write_text(text)
    command = f"reconcile {file} --format trtc-room --app {APP} --day {DAYS[2]}"
    assert {row["status"] for row in rows(settled, command)} == {"equal"}
    file.write_text("\n".join([text.splitlines()[0], *lines[1:]]))
    room = lines[0].split(",")[0]
    assert {row["room_id"] for row in rows(settled, command) if row["status"] == "only_ours"} == {room}


def test_a_bill_is_compared_in_minutes_and_money(settled: Commands, tmp_path: Path) -> None:
    header = (
        "Instance ID,Usage Start Time,Component Name,Component Usage,Component Usage Unit,Amount Before Tax,Currency"
    )
    charged: defaultdict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, 0.0])
    for row in rows(settled, "charges academy --month 2026-03"):
        charged[row["day"], row["item"]][0] += row["seconds"]
        charged[row["day"], row["item"]][1] += float(row["amount"])
    names = {"audio": "Audio duration", "hd": "HD video", "fhd": "Full HD video", "2k": "2K video", "4k": "4K video"}
    lines = [
        f"{APP},{day} 00:00:00,{names[item]},{_up(seconds)},minute,{amount:.2f},USD"
        for (day, item), (seconds, amount) in charged.items()
    ]
    file = tmp_path / "bill.csv"
    file.write_text("\n".join([header, *lines, ""]))
    found = rows(settled, f"reconcile {file} --format tencent-bill")
    assert {row["unit"] for row in found} == {"minute", "USD"}
    assert {row["status"] for row in found} <= {"equal", "within"}
    file.write_text("\n".join([header, *lines, f"{APP},{DAYS[0]} 00:00:00,SD video,7,minute,1.50,USD", ""]))
    extra = [row for row in rows(settled, f"reconcile {file} --format tencent-bill") if row["status"] == "only_theirs"]
    assert [(row["item"], row["theirs"]) for row in extra] == [("sd", "1.5"), ("sd", "7")]


def test_agora_states_seconds_by_utc_day(settled: Commands, tmp_path: Path) -> None:
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in _used(settled, "window"):
        day = (datetime.fromisoformat(row["start"]) - timedelta(hours=9)).date().isoformat()
        sums[day][row["item"]] += row["seconds"]
    names = {"durationAudioAll": "audio", "durationVideoHd": "hd", "durationVideoHdp": "fhd"}
    names |= {"durationVideo2k": "2k", "durationVideo4k": "4k"}
    usages = [
        {"date": f"{day}T00:00:00.000Z", "usage": {name: seconds[item] for name, item in names.items()}}
        for day, seconds in sums.items()
    ]
    file = tmp_path / "agora.json"
    file.write_text(json.dumps({"usages": usages}))
    found = rows(settled, f"reconcile {file} --format agora-usage --app {APP} --timezone UTC")
    assert {row["status"] for row in found} == {"equal"}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("TimeKey,Audio\n2026-03-08,x\n", f"--format trtc-usage --app {APP}", "'x' is no number"),
        ("TimeKey,Video\n2026-03-08,1\n", f"--format trtc-usage --app {APP}", "unknown item 'Video'"),
        ("TimeKey,Audio\n2026-03-08,1\n", "--format trtc-usage", "give --app"),
        ("Day,Audio\n", f"--format trtc-usage --app {APP}", "the column TimeKey is missing"),
        (
            "TimeKey,Audio\n2026-03-08 00:01,1\n",
            f"--format trtc-usage --app {APP}",
            "not the start of a 5-minute window",
        ),
        ("RoomId,Audio\nr,1\n", f"--format trtc-room --app {APP}", "give --day"),
        ("{", f"--format agora-usage --app {APP}", "no JSON"),
        ('{"usages": [{"date": "2026-03-08"}]}', f"--format agora-usage --app {APP}", "not complete"),
        ("start,item,quantity,unit\n2026-03-08,hd,1,hour\n", f"--format columns --app {APP}", "second or minute"),
        ("start,item\n2026-03-08,hd\n", f"--format columns --app {APP}", "has no figures"),
        ("TimeKey,Audio\n2026-03-08,1\n", "--format trtc-usage --app 77", "unknown app '77'"),
        ("TimeKey,Audio\n2026-03-08,1\n", "--format json", "give one format of the file"),
        ("", f"--format columns --app {APP}", "no CSV"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_line(
    text: str, options: str, message: str, billing: Commands, tmp_path: Path
) -> None:
    file = tmp_path / "statement"
    file.write_text(text)
    done = billing(f"reconcile {file} {options}")
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_own_columns_may_state_a_month(settled: Commands, tmp_path: Path) -> None:
    minutes: Counter[str] = Counter()
    for (_, item), seconds in _by_day(_used(settled, "day")).items():
        minutes[item] += _up(seconds)
    lines = [f"{APP},2026-03,month,{item},{value},minutes,," for item, value in minutes.items()]
    file = tmp_path / "month.csv"
    file.write_text("\n".join(["app_id,start,grain,item,quantity,unit,amount,currency", *lines, ""]))
    assert {row["status"] for row in rows(settled, f"reconcile {file} --format columns")} == {"equal"}
