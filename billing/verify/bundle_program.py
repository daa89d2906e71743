"""The program of a bundle: a month computed again from the files beside it, with the standard library alone.

    python3 -I verify.py            the last line is the total, such as `total 0.22 USD`; exit code 0
                                    what does not agree is said in one line; exit code 1

    contents.json         the SHA-256 of every other file
    terms.json            account, month, policies, contracts, packages
    seals.ndjson          every seal of the account up to the bill: hashes of what was settled, root, head
    days.ndjson           the days of the bill, with what payers had left before each
    events-DAY.ndjson     the events of a day
    state-DAY.ndjson      the stays that were open at the end of a day
    usage.ndjson, deductions.ndjson, charges.ndjson     what was settled and corrected, by run
    bill.json             the invoice (or its draft), line by line

Each day is metered again from its events, paid and priced again, and compared with what was settled; what was settled
is compared with its seal; and the bill with the charges. The last seal must be the one that is printed on the invoice.
Needs Python 3.10 or newer.
"""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from billing.verify.bundle_bill import Disagreement, by_key, check_bill, in_words, must_be_equal
from billing.verify.carried_stays import comparable_stays, whole_stay
from billing.verify.money import day_charges, paid_minutes, prices_on, sources_on, version_on
from billing.verify.rooms import Row, TierPolicy, in_windows, room_intervals
from billing.verify.roots import (
    BEFORE_ALL,
    LEAF_NAMES,
    day_root,
    next_head,
    room_leaf,
    row_lines,
    run_line,
    tree_root,
)

CONTENTS = "contents.json"
SEALED = {
    "usage": ("app_id", "window_start", "item", "reason", "seconds"),
    "deductions": ("app_id", "window_start", "item", "payer_id", "minutes", "package_minutes"),
    "charges": (
        *("app_id", "item", "kind", "seconds", "minutes", "deducted_minutes", "payable_minutes"),
        *("unit_price_scaled", "list_price_scaled", "amount_scaled", "currency", "posted_on", "cause"),
    ),
}
AS_TEXT = ("list_price_scaled", "posted_on", "cause")
CHARGED = ("seconds", "minutes", "deducted_minutes", "payable_minutes", "amount_scaled")


class Bundle:
    """The files, read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._check_contents()
        self.terms: Row = self._json("terms.json")
        self.bill: Row = self._json("bill.json")
        self.days: list[Row] = self.lines("days.ndjson")
        self.seals: list[Row] = self.lines("seals.ndjson")
        self.rows = {name: self.lines(f"{name}.ndjson") for name in SEALED}
        self.by_day = {name: by_key(rows, "day") for name, rows in self.rows.items()}
        self.seals_by_day = by_key(self.seals, "day")

    def lines(self, name: str) -> list[Row]:
        """The rows of a file; none: it is not there."""
        lines = self.text(name).split("\n") if (self.folder / name).exists() else []
        return [_parsed(name, line) for line in lines if line]

    def text(self, name: str) -> str:
        """The text of a file."""
        try:
            return (self.folder / name).read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError):
            raise Disagreement(f"{name} cannot be read") from None

    def _json(self, name: str) -> Any:
        return _parsed(name, self.text(name))

    def _check_contents(self) -> None:
        said = self._json(CONTENTS)
        must_be_equal(CONTENTS, contents_text(said["files"]), self.text(CONTENTS))
        for name, expected in said["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise Disagreement(f"{name} is missing")
            if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                raise Disagreement(f"{name} is not the file that was bundled")
        for pattern in ("events-*", "state-*"):
            for path in self.folder.glob(pattern):
                if path.name not in said["files"]:
                    raise Disagreement(f"{path.name} is not one of the files that were bundled")


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise Disagreement(f"{name} cannot be read") from None


def contents_text(files: Mapping[str, str]) -> str:
    """The list of files as it is written."""
    return json.dumps({"files": files, "version": 1}, sort_keys=True, indent=1) + "\n"


def check_bundle(folder: Path) -> list[str]:
    """What there is to say of a bundle in which everything agrees; the last line is its total."""
    bundle = Bundle(folder)
    check_chain(bundle)
    said = []
    before: Row | None = None
    for day in bundle.days:
        said.append(check_day(bundle, day, before))
        before = day
    check_bill(bundle.bill, bundle.rows["charges"], bundle.terms)
    return [*said, in_words(bundle.bill["total"], bundle.terms["currency"])]


# Seals


def check_chain(bundle: Bundle) -> None:
    """Every root from its hashes, every head from the one before, and the last one on the invoice."""
    head = BEFORE_ALL
    for place, seal in enumerate(bundle.seals, 1):
        must_be_equal("the number of a seal", place, seal["number"])
        contents = {name: bytes.fromhex(seal[name]) for name in LEAF_NAMES[1:]}
        root = day_root(bytes.fromhex(seal["events"]), contents)
        must_be_equal(f"{seal['day']}: the root of seal {place}", root.hex(), seal["root"])
        head = next_head(head, root)
        must_be_equal(f"{seal['day']}: the head of seal {place}", head.hex(), seal["head"])
    if bundle.bill["number"] and bundle.bill.get("seal"):
        must_be_equal("the seal that is printed on the invoice", bundle.bill["seal"], head.hex())
    listed = {day["day"] for day in bundle.days}
    for seal in bundle.seals:
        if seal["kind"] == "usage" and seal["day"][:7] == bundle.terms["month"] and seal["day"] not in listed:
            raise Disagreement(f"{seal['day']}: the day is sealed, but missing in days.ndjson")


def check_seals_of(bundle: Bundle, day: Row) -> None:
    """The seals of a day against what is here of its runs."""
    seals = bundle.seals_by_day.get(day["day"], [])
    runs = {seal["run_id"] for seal in seals}
    for seal in seals:
        must_be_equal(
            f"{day['day']}: what run {seal['run_id']} sealed of itself", seal["run"], _hex(run_line(seal["said"]))
        )
        said = {"account": bundle.terms["account"], "day": day["day"], "kind": seal["kind"]}
        said |= {name: day[name] for name in ("starts_at", "ends_at", "policy", "policy_hash")}
        for name, value in said.items():
            must_be_equal(f"{day['day']}: the {name} of seal {seal['number']}", seal["said"][name], value)
        for name in SEALED:
            rows = [row for row in bundle.by_day[name].get(day["day"], []) if row["run_id"] == seal["run_id"]]
            must_be_equal(
                f"{day['day']}: {name} under seal {seal['number']}", seal[name], _hex(sealed_lines(name, rows))
            )
    is_sealed = any(seal["kind"] == "usage" for seal in seals)
    first = min((seal["run_id"] for seal in bundle.seals), default=None)
    for name in SEALED:
        for row in bundle.by_day[name].get(day["day"], []):
            if row["run_id"] not in runs and (is_sealed or (first is not None and row["run_id"] >= first)):
                raise Disagreement(f"{day['day']}: {name} of run {row['run_id']}, which has no seal")


def sealed_lines(name: str, rows: Sequence[Row]) -> bytes:
    """Rows as they were sealed."""
    values = [[_sealed(column, row[column]) for column in SEALED[name]] for row in rows]
    return row_lines(sorted(values, key=lambda each: [_sortable(value) for value in each]))


def _sortable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def _sealed(column: str, value: Any) -> Any:
    if column in AS_TEXT:
        return "" if value is None else str(value)
    return value


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# Days


def check_day(bundle: Bundle, day: Row, before: Row | None) -> str:
    """A day from its events to its charges; what there is to say of it."""
    name = day["day"]
    check_seals_of(bundle, day)
    events = bundle.lines(f"events-{name}.ndjson")
    seals = bundle.seals_by_day.get(name, [])
    if seals:
        must_be_equal(f"{name}: the events under seal {seals[-1]['number']}", seals[-1]["events"], events_root(events))
    version = version_of(bundle, day)
    previous = (date.fromisoformat(name) - timedelta(days=1)).isoformat()
    seconds, left = metered(events, state_of(bundle, previous), day, version)
    expected = {key: stays for key, stays in sorted(left.items()) if stays}
    must_be_equal(f"{name}: the rooms that stay open", list(expected), sorted(state_of(bundle, name)))
    for room, rows in state_of(bundle, name).items():
        must_be_equal(
            f"{name}: the stays that stay open in room {room[1]}",
            comparable_stays(expected[room]),
            comparable_stays(rows),
        )
    keys = ("app_id", "window_start", "item", "reason")
    compare(f"{name}: seconds", seconds, summed(bundle.by_day["usage"].get(name, []), keys, ("seconds",)))
    check_money(bundle, day, before, version, seconds)
    number = f"seal {seals[-1]['number']}" if seals else "no seal, settled by an earlier version"
    return (
        f"{name}: {len(events)} events in {len({(each['app_id'], each['room_id']) for each in events})} rooms, {number}"
    )


def events_root(events: Sequence[Row]) -> str:
    """The root over the rooms of a day."""
    rooms = by_key(events, "app_id", "room_id")
    leaves = sorted((app_id, *room_leaf(app_id, room_id, rows)) for (app_id, room_id), rows in rooms.items())
    return tree_root([leaf for _, _, leaf in leaves]).hex()


def version_of(bundle: Bundle, day: Row) -> Mapping[str, Any]:
    """The version of the policy of a day."""
    text = bundle.terms["policies"][day["policy_hash"]]
    must_be_equal(f"{day['day']}: the policy", day["policy_hash"], _hex(text.encode()))
    return version_on(json.loads(text), date.fromisoformat(day["day"]))


def state_of(bundle: Bundle, day: str) -> dict[Any, list[Row]]:
    """The stays that are open at the end of a day, by room: the state of one of its seals, if it has any."""
    name = f"state-{day}.ndjson"
    text = bundle.text(name) if (bundle.folder / name).exists() else ""
    seals = bundle.seals_by_day.get(day, [])
    # A correction that changed nothing of it has none.
    if seals and _hex(text.encode()) not in {seal["state"] for seal in seals}:
        raise Disagreement(f"{day}: the stays that stay open are under no seal of the day")
    return by_key([whole_stay(row) for row in bundle.lines(name)], "app_id", "room_id")


def metered(
    events: Sequence[Row], carried: Mapping[Any, list[Row]], day: Row, version: Mapping[str, Any]
) -> tuple[dict[Any, tuple[int, ...]], dict[Any, list[dict[str, Any]]]]:
    """The seconds of a day by app, window, item and reason, and the stays that it leaves by room."""
    tiers = tuple((str(tier["item"]), tier.get("top_area")) for tier in version["tiers"])
    policy = TierPolicy(version["method"] == "per_stream", tiers)
    rooms, seconds, left = by_key(events, "app_id", "room_id"), dict[Any, tuple[int, ...]](), {}
    for room in sorted(rooms.keys() | carried.keys()):
        found, state = room_intervals(
            rooms.get(room, ()), carried.get(room, ()), day["starts_at"], day["ends_at"], policy
        )
        for (window, item, reason), count in in_windows(found).items():
            key = (room[0], window, item, reason)
            seconds[key] = (seconds.get(key, (0,))[0] + count,)
        left[room] = state
    return seconds, left


def check_money(
    bundle: Bundle, day: Row, before: Row | None, version: Mapping[str, Any], seconds: Mapping[Any, tuple[int, ...]]
) -> None:
    """Who paid, and what the rest costs."""
    name, terms = day["day"], bundle.terms
    windows: dict[tuple[int, int, str], int] = {}
    for (app_id, window, item, _), (count,) in seconds.items():
        windows[window, app_id, item] = windows.get((window, app_id, item), 0) + count
    on = date.fromisoformat(name)
    sources = sources_on(on, version, terms["packages"], None, day["remaining"])
    known = {source.payer_id: source.remaining for source in sources}
    must_be_equal(f"{name}: what payers have left", known, day["remaining"])
    if before and date.fromisoformat(before["day"]) + timedelta(days=1) == on:
        check_left(bundle, before, day)
    paid = paid_minutes(windows, sources)
    keys = ("window_start", "app_id", "item", "payer_id")
    deductions = summed(bundle.by_day["deductions"].get(name, []), keys, ("minutes", "package_minutes"))
    compare(f"{name}: minutes that are paid", paid, deductions)
    prices = prices_on(version, terms["currency"], terms["contracts"], on)
    charges = {key: (*each[:4], each[5]) for key, each in day_charges(windows, paid, prices).items()}
    rows = bundle.by_day["charges"].get(name, [])
    compare(f"{name}: charges", charges, summed(rows, ("app_id", "item"), CHARGED))
    for row in rows:
        must_be_equal(
            f"{name}: the price of a minute of {row['item']}", prices.get(row["item"]), row["unit_price_scaled"]
        )
        must_be_equal(f"{name}: the currency of {row['item']}", terms["currency"], row["currency"])


def check_left(bundle: Bundle, before: Row, day: Row) -> None:
    """A payer has left what it had the day before, less what it paid then."""
    units: dict[str, int] = {}
    for row in bundle.by_day["deductions"].get(before["day"], []):
        units[row["payer_id"]] = units.get(row["payer_id"], 0) + row["package_minutes"]
    for payer_id in before["remaining"].keys() & day["remaining"].keys():
        expected = before["remaining"][payer_id] - units.get(payer_id, 0)
        must_be_equal(f"{day['day']}: what {payer_id} has left", expected, day["remaining"][payer_id])


def summed(rows: Sequence[Row], keys: Sequence[str], values: Sequence[str]) -> dict[Any, tuple[int, ...]]:
    """The sums of some columns; what comes to nothing is left out."""
    found = {key: tuple(sum(row[value] for row in of) for value in values) for key, of in by_key(rows, *keys).items()}
    return {key: sums for key, sums in found.items() if any(sums)}


def compare(what: str, expected: Mapping[Any, Sequence[int]], found: Mapping[Any, Sequence[int]]) -> None:
    """Stops at the first key whose numbers differ."""
    for key in sorted(expected.keys() | found.keys(), key=str):
        one, other = (list(of[key]) if key in of else None for of in (expected, found))
        must_be_equal(f"{what} of {', '.join(map(str, key))}", one, other)


def main(folder: Path) -> int:
    """Prints what agrees, or the one thing that does not."""
    try:
        said = check_bundle(folder)
    except Disagreement as error:
        print(" ".join(str(error).split()))
        return 1
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        print(f"the bundle cannot be read: {type(error).__name__}: {' '.join(str(error).split())}")
        return 1
    print("\n".join(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
