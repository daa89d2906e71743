"""`billing` in one home, and what it shows of an account: books like those of a clean bill, in which corrections are
added to the originals."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from deltalake import DeltaTable

from billing.cli.main import main
from tests.late.clean_bill import Balance, Books, Charge
from tests.late.story import DAY, Account, Row, instant

Place = tuple[Any, ...]  # what figures are counted by

_READING = ("usage", "charges", "packages", "findings", "runs")
ALWAYS = ("--from", "2022-01-01", "--to", "2027-12-31")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """`begin`: the second of its beginning; nothing is posted before the month of the day before."""

    directory: Path
    begin: int
    shown: dict[tuple[object, ...], list[Row]] = field(
        default_factory=dict
    )  # since the last command that changes anything

    def run(self, second: int, *arguments: object) -> None:
        """Runs a command at that second; it must succeed."""
        self._run(second, *arguments)

    def rows(self, second: int, *arguments: object) -> list[Row]:
        """The rows that a command prints. What only reads is asked once, until a command changes something."""
        if arguments[0] not in _READING:
            self.shown.clear()
        if arguments not in self.shown:
            self.shown[arguments] = json.loads(self._run(second, *arguments, "--format", "json"))
        return self.shown[arguments]

    def change(self, second: int, *arguments: object) -> None:
        """Runs a command that changes what others show."""
        self.shown.clear()
        self._run(second, *arguments)

    def _run(self, second: int, *arguments: object) -> str:
        line = [str(argument) for argument in arguments]
        environment = {"BILLING_HOME": str(self.directory), "BILLING_NOW": instant(second)}
        result = CliRunner(env=environment).invoke(main, line, catch_exceptions=False)
        assert result.exit_code == 0, f"{instant(second)} {line}: {result.output}"
        return result.stdout

    def compact(self) -> None:
        """Compacts the log and deletes the files that it no longer needs."""
        self.shown.clear()
        directory = (self.directory / "events").as_uri()
        if DeltaTable.is_deltatable(directory):
            table = DeltaTable(directory)
            table.optimize.compact()
            table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    def open(self, second: int) -> None:
        self.run(second, "init")

    def apply(self, second: int, entries: list[str]) -> None:
        """Puts entries of a catalog, as TOML, into the catalog."""
        file = self.directory.with_name(f"{self.directory.name}-{second}.toml")
        file.write_text("\n\n".join(entries))
        self.rows(second, "catalog", "apply", file)

    def ingest(self, second: int, events: list[Row]) -> Row:
        """Ingests events as one file, and gives what the command says of it."""
        file = self.directory.with_name(f"{self.directory.name}-{second}.ndjson")
        file.write_text("".join(json.dumps(event) + "\n" for event in events))
        (report,) = self.rows(second, "ingest", file)
        return report

    def settled_rows(self, second: int, accounts: tuple[Account, ...]) -> set[str]:
        """Every settled row of charges and windows, as text."""
        rows = [row for account in accounts for row in self._charges(second, account)]
        rows += [
            row for account in accounts for app in account.apps for row in self.rows(second, "usage", app, *ALWAYS)
        ]
        assert all(row["settled"] for row in rows)
        return set(map(json.dumps, rows))

    def books(self, second: int, account: Account, *options: str, users: bool = False) -> Books:
        """What stands in the books of an account. With `--provisional` there are no findings; `users`: by user as well,
        which is metered again."""
        books = Books()
        for app in account.apps:
            for row in self.rows(second, "usage", app, *ALWAYS, *options):
                books.usage[app, _second(row["start"]), row["item"], row["reason"]] += row["seconds"]
            for row in self.rows(second, "usage", app, *ALWAYS, "--unit", "minutes", *options):
                books.minutes[app, _second(row["start"]), row["item"]] += row["minutes"]
            if users:
                for row in self.rows(second, "usage", app, *ALWAYS, "--by", "user", *options):
                    key = (
                        date.fromisoformat(row["day"]),
                        app,
                        row["room_id"],
                        row["user_id"],
                        row["item"],
                        row["reason"],
                    )
                    books.users[key] += row["seconds"]
        books.charges = self._sums_of_charges(second, account, *options)
        books.balances = {
            row["id"]: _balance(account, row) for row in self.rows(second, "packages", account.id, *options)
        }
        if not options:
            books.findings = Counter(
                (
                    date.fromisoformat(row["day"]),
                    row["app_id"],
                    row["room_id"],
                    row["user_id"],
                    _ms(row["at"]),
                    row["finding"],
                )
                for row in self.rows(second, "findings", account.id)
            )
        return books

    def check_other_views(self, second: int, account: Account, app: int, books: Books, *options: str) -> None:
        """By day and by room an app has the sums of what the books say by window and by user."""
        rooms, seconds, minutes = Counter[Place](), Counter[Place](), Counter[Place]()
        for (day, of_app, room, _, item, reason), figure in books.users.items():
            rooms[of_app, str(day), room, item, reason] += figure
        for (of_app, window, item, reason), figure in books.usage.items():
            seconds[of_app, str(account.day(window)), item, reason] += figure
        for (of_app, window, item), figure in books.minutes.items():
            minutes[of_app, str(account.day(window)), item] += figure
        for by, unit, key, expected in (
            ("room", "seconds", ["day", "room_id", "item", "reason"], rooms),
            ("day", "seconds", ["day", "item", "reason"], seconds),
            ("day", "minutes", ["day", "item"], minutes),
        ):
            found = Counter[Place]()
            for row in self.rows(second, "usage", app, *ALWAYS, "--by", by, "--unit", unit, *options):
                found[app, *(row[name] for name in key)] += row[unit]
            different = apart(found, Counter({place: figure for place, figure in expected.items() if place[0] == app}))
            assert not different, f"{instant(second)}, app {app} {unit} by {by}: {different}"

    def _sums_of_charges(self, second: int, account: Account, *options: str) -> dict[tuple[date, int, str], Charge]:
        sums: dict[tuple[date, int, str], Charge] = {}
        for row in self._charges(second, account, *options):
            price = Decimal(row["unit_price"])
            charge = sums.setdefault(
                (date.fromisoformat(row["day"]), row["app_id"], row["item"]), Charge(unit_price=price)
            )
            assert charge.unit_price == price, row
            charge.seconds += row["seconds"]
            charge.minutes += row["minutes"]
            charge.deducted_minutes += row["deducted_minutes"]
            charge.payable_minutes += row["payable_minutes"]
            charge.amount += Decimal(row["amount"])
            charge.deducted_by.update(row["deducted_by"])
        return {key: charge for key, charge in sums.items() if charge != Charge(unit_price=charge.unit_price)}

    def _charges(self, second: int, account: Account, *options: str) -> Iterator[Row]:
        """Those of all months."""
        for month in sorted({f"{account.day(each):%Y-%m}" for each in (*range(self.begin, second, 20 * DAY), second)}):
            yield from self.rows(second, "charges", account.id, "--month", month, *options)


def apart(found: Any, expected: Any) -> dict[Any, tuple[Any, Any]]:
    """What is not the same in two mappings, as (found, expected); nothing and zero are the same."""
    pairs = {key: (found.get(key), expected.get(key)) for key in found.keys() | expected.keys()}
    return {key: pair for key, pair in pairs.items() if (pair[0] or 0) != (pair[1] or 0)}


def check_same(found: Books, expected: Books, where: str, *, users: bool = False) -> None:
    """Books must be the same in everything, by user if both have that."""
    for each in fields(Books):
        if users or each.name != "users":
            different = apart(getattr(found, each.name), getattr(expected, each.name))
            assert not different, f"{where}: {each.name}, found and expected: {different}"


def _balance(account: Account, row: Row) -> Balance:
    first, end = (account.day(_second(row[name])) for name in ("valid_from", "expires_at"))
    balance = Balance(
        app=row["app_id"],
        first_day=first,
        last_day=end - timedelta(days=1),
        granted=row["granted"],
        deducted=row["deducted"],
        lapsed=row["lapsed"],
    )
    assert balance.remaining == row["remaining"] >= 0, row
    return balance


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _ms(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
