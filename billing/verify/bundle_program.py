"""The program of a bundle: a month computed again from the files beside it, with the standard library alone.

    python3 -I verify.py            the last line is the total, such as `total 0.22 USD`; exit code 0
                                    what does not agree is said in one line; exit code 1

    contents.json         the SHA-256 of every other file
    terms.json            account, month, policies, contracts, packages
    seals.ndjson          every seal of the account up to the bill: hashes of what was settled, root, head
    days.ndjson           the days of the bill, with what payers had left, and perhaps what the month had, before each
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
from billing.verify.bundle_money import check_money, compare, summed
from billing.verify.carried_stays import comparable_stays, whole_stay
from billing.verify.day_bill import DayBill
from billing.verify.metered_rooms import metered_room
from billing.verify.policy_rules import MeterRule, PolicyRules, rules_on
from billing.verify.room_people import Row
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
    before: tuple[Row, DayBill] | None = None
    roundings = set()
    for day in bundle.days:
        rules = rules_of(bundle, day)
        line, bill = check_day(bundle, day, before, rules)
        said.append(line)
        before = (day, bill)
        if day["day"][:7] == bundle.terms["month"]:
            roundings.add(rules.rounding)
    rounding = bundle.bill["terms"].get("rounding", "half_up")
    if rounding not in (roundings or {"half_up"}):
        raise Disagreement(f"the rounding of the bill: {', '.join(sorted(roundings))} is expected, {rounding} is there")
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


def check_day(bundle: Bundle, day: Row, before: tuple[Row, DayBill] | None, rules: PolicyRules) -> tuple[str, DayBill]:
    """A day from its events to its charges; what there is to say of it, and its bill."""
    name = day["day"]
    check_seals_of(bundle, day)
    events = bundle.lines(f"events-{name}.ndjson")
    seals = bundle.seals_by_day.get(name, [])
    if seals:
        must_be_equal(f"{name}: the events under seal {seals[-1]['number']}", seals[-1]["events"], events_root(events))
    previous = (date.fromisoformat(name) - timedelta(days=1)).isoformat()
    seconds, left = metered(events, state_of(bundle, previous), day, rules.meter)
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
    of_day = {kind: rows.get(name, []) for kind, rows in bundle.by_day.items()}
    bill = check_money(bundle.terms, day, before, rules, seconds, of_day)
    number = f"seal {seals[-1]['number']}" if seals else "no seal, settled by an earlier version"
    rooms = {(each["app_id"], each["room_id"]) for each in events}
    return f"{name}: {len(events)} events in {len(rooms)} rooms, {number}", bill


def events_root(events: Sequence[Row]) -> str:
    """The root over the rooms of a day."""
    rooms = by_key(events, "app_id", "room_id")
    leaves = sorted((app_id, *room_leaf(app_id, room_id, rows)) for (app_id, room_id), rows in rooms.items())
    return tree_root([leaf for _, _, leaf in leaves]).hex()


def rules_of(bundle: Bundle, day: Row) -> PolicyRules:
    """What the policy of a day says."""
    text = bundle.terms["policies"][day["policy_hash"]]
    must_be_equal(f"{day['day']}: the policy", day["policy_hash"], _hex(text.encode()))
    rules = rules_on(json.loads(text), date.fromisoformat(day["day"]))
    if rules is None:
        raise Disagreement(f"{day['day']}: the policy {day['policy']} cannot be read")
    return rules


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
    events: Sequence[Row], carried: Mapping[Any, list[Row]], day: Row, rule: MeterRule
) -> tuple[dict[Any, tuple[int, ...]], dict[Any, list[dict[str, Any]]]]:
    """The seconds of a day by app, window, item and reason, and the stays that it leaves by room."""
    rooms, seconds, left = by_key(events, "app_id", "room_id"), dict[Any, tuple[int, ...]](), {}
    for room in sorted(rooms.keys() | carried.keys()):
        found, state = metered_room(rooms.get(room, ()), carried.get(room, ()), day["starts_at"], day["ends_at"], rule)
        for (window, item, reason), count in found.items():
            key = (room[0], window, item, reason)
            seconds[key] = (seconds.get(key, (0,))[0] + count,)
        left[room] = state
    return seconds, left


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
