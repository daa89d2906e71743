"""A story told to the real program, command by command, and what must hold after every one of them.

After whatever bills or corrects, the books are those of a clean bill of all that has arrived by then; what was settled
before is there unchanged; and what is shown now is kept, to be asked for again at the end, when the log has been
compacted.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random

from tests.late.clean_bill import Books, clean_bill
from tests.late.home import ALWAYS, Home, check_same
from tests.late.story import DAY, Account, Arrival, Row, Step, Story, instant
from tests.ledger import cells
from tests.tampered_home import checked, unpacked

View = tuple[object, ...]  # the arguments of `usage`
_NOT_OF_DRY_RUNS = ("run", "settled")


def check_story(tale: Story, directory: Path) -> None:
    """Tells a story. At its end a clean home, which gets everything at once, must say the same, and another nightly
    must change nothing. In both, everything must agree with its seals, and with the second engine."""
    telling = Telling(tale, directory)
    telling.tell()
    end = tale.steps[-1].second
    telling.check_what_was_known(end)
    clean = Home(directory=directory / "clean", begin=tale.begin)
    clean.open(tale.begin)
    clean.apply(end, [each.toml() for each in (*tale.accounts, *tale.purchases)])
    clean.ingest(end, [each.event for each in reversed(tale.arrivals) if telling.stands(each.event)])
    assert {row["result"] for row in clean.rows(end, "nightly")} <= {"billed"}
    for account in tale.accounts:
        expected = telling.clean(account, end, account.day(end) - timedelta(days=1))
        books = telling.home.books(end, account, users=True)
        check_same(books, expected, f"seed {tale.seed}, {account.id}", users=True)
        check_same(clean.books(end, account), expected, f"seed {tale.seed}, {account.id} at once")
        telling.home.check_other_views(end, account, account.apps[-1], expected)
        assert telling.home.rows(end, "findings", account.id) == clean.rows(end, "findings", account.id)
    telling.check_nothing_is_left(end)
    for home in (telling.home, clean):
        assert home.rows(end, "verify", "--full") == home.rows(end, "verify") == [], f"seed {tale.seed}"
    for account in tale.accounts:
        _check_bundle(telling.home, end, account, directory / account.id)


def _check_bundle(home: Home, end: int, account: Account, folder: Path) -> None:
    """The program of a bundle comes to the total of the last day's month, if a day of it is billed."""
    month = f"{account.day(end) - timedelta(days=1):%Y-%m}"
    billed = [row for row in home.rows(end, "runs", "--limit", "10000") if row["result"] == "billed"]
    if not any(row["account"] == account.id and row["day"] >= month for row in billed):
        return
    home.run(end, "bundle", account.id, "--month", month, "-o", folder.with_suffix(".zip"))
    exit_code, lines = checked(unpacked(folder.with_suffix(".zip"), folder))
    assert exit_code == 0, lines


class Telling:
    """Where a story has got to. `known` is what was shown after a run: by run and view."""

    def __init__(self, tale: Story, directory: Path) -> None:
        self.tale = tale
        self.home = Home(directory=directory / "real", begin=tale.begin)
        self.home.open(tale.begin)
        self.home.apply(tale.begin, [account.toml() for account in tale.accounts])
        self.told_until = 0
        self.settled: set[str] = set()
        self.known: dict[tuple[int, View], list[Row]] = {}
        self.workbooks: dict[tuple[int, str, str], Path] = {}
        self.billed: dict[str, list[date]] = {account.id: [] for account in tale.accounts}
        self.settled_as_refreshed = 0
        self.ingests: list[set[str]] = []  # the events that each brought; a retraction counts as one and brings none
        self.retracted: set[str] = set()
        self.first_days: dict[str, date] = {}  # of the accounts, at the last nightly

    def tell(self) -> None:
        """The whole story."""
        for step in self.tale.steps:
            self.arrive(step.second)
            match step.command:
                case "nightly":
                    self._nightly(step)
                case "cut":
                    self.cut(step)
                case "rebill":
                    self._rebill(step)
                case "refresh":
                    self.home.rows(step.second, "refresh")
                    self._remember(step, [Random(step.draw).choice(self.tale.apps)])
                case "compact":
                    self.home.compact()
                case "retract":
                    self._retract(step)
                case "undo":
                    self._undo(step)

    def cut(self, step: Step, *, users: bool = False) -> None:
        """A refresh, and a nightly that settles what it has shown; but for accounts that had to be corrected first."""
        self.home.rows(step.second, "refresh")
        shown = {account: self._provisional(step, account, users=users) for account in self.tale.accounts}
        corrected = self._nightly(step)
        for account, books in shown.items():
            if account.id not in corrected:
                after = self._provisional(step, account, users=users)
                check_same(after, books, f"{self._at(step.second)}, {account.id} as refreshed", users=users)
                self.settled_as_refreshed += 1

    def clean(self, account: Account, second: int, last_day: date) -> Books:
        """The clean bill of everything that has arrived until then."""
        return clean_bill(
            account,
            [event for event in self._events(second) if event["app_id"] in account.apps],
            [each for each in self.tale.packages if each.account == account and each.known_at <= second],
            [each for each in self.tale.contracts if each.account == account and each.known_at <= second],
            last_day,
        )

    def check_what_was_known(self, second: int) -> None:
        """Every run's view, and every workbook."""
        for (run, view), rows in self.known.items():
            found = self.home.rows(second, "usage", *view, "--run", run)
            assert found == rows, f"{self._at(second)}: usage {view} as of run {run}"
        for (then, account, month), workbook in self.workbooks.items():
            again = workbook.with_suffix(".again.xlsx")
            self.home.run(second, "invoice", "export", account, "--month", month, "--as-of", instant(then), "-o", again)
            assert cells(again) == cells(workbook), f"{self._at(second)}: {account} {month} as of {instant(then)}"

    def check_nothing_is_left(self, second: int) -> None:
        """Another nightly finds nothing to do."""
        runs = self.home.rows(second, "runs", "--limit", 1)
        assert {row["result"] for row in self.home.rows(second, "nightly")} <= {"already_billed"}
        assert self.home.rows(second, "runs", "--limit", 1) == runs
        assert self.home.settled_rows(second, self.tale.accounts) == self.settled

    def _nightly(self, step: Step) -> set[str]:
        """The accounts that were corrected."""
        rows = self.home.rows(step.second, "nightly")
        assert {row["result"] for row in rows} <= {"billed", "already_billed", "corrected"}, rows
        for row in rows:
            if row["result"] == "billed":
                self.billed[row["account"]].append(date.fromisoformat(row["day"]))
        for account in self.tale.accounts:
            days = [
                account.day(each["at"] // 1000) for each in self._events(step.second) if each["app_id"] in account.apps
            ]
            self.first_days[account.id] = min(days, default=date.max)
        for account in self.tale.accounts:
            self._check(step, account, account.day(step.second) - timedelta(days=1))
        self._check_what_is_settled(step)
        self._export(step)
        return {row["account"] for row in rows if row["result"] == "corrected"}

    def _rebill(self, step: Step) -> None:
        """The dry run, then the same, and then there is nothing more to post."""
        account = self.tale.account(step.account)
        billed = self.billed[account.id]
        if not billed:
            return
        first = Random(step.draw).choice([billed[0] - timedelta(days=3), *billed])
        line = ("rebill", account.id, "--from", first, "--reason", "we had a look")
        planned = _lines(self.home.rows(step.second, *line, "--dry-run"))
        posted = _lines(self.home.rows(step.second, *line))
        assert posted == planned, f"{self._at(step.second)}: {line}"
        self._check(step, account, billed[-1])
        self._check_what_is_settled(step)
        assert not self.home.rows(step.second, *line, "--dry-run")

    def arrive(self, second: int) -> None:
        """What was bought and what has happened since the last command."""
        purchases = [each for each in self.tale.purchases if self.told_until < each.known_at <= second]
        if purchases:
            known_at = max(self.tale.begin, *(each.known_at for each in purchases))
            self.home.apply(known_at, [each.toml() for each in purchases])
        arrivals = [each for each in self.tale.arrivals if self.told_until < each.second <= second]
        if arrivals:
            self._ingest(arrivals)
        self.told_until = second

    def _ingest(self, arrivals: list[Arrival]) -> None:
        known = {event["event_id"] for event in self._events(self.told_until)}
        readable = [each.event for each in arrivals if each.readable]
        new = {event["event_id"] for event in readable} - known
        report = self.home.ingest(arrivals[-1].second, [each.event for each in arrivals])
        counts = [report[name] for name in ("read", "accepted", "duplicates", "quarantined")]
        expected = [len(arrivals), len(new), len(readable) - len(new), len(arrivals) - len(readable)]
        assert counts == expected, f"{self._at(arrivals[-1].second)}: {report}"
        if new:
            self.ingests.append(new)
            self.retracted -= new

    def _retract(self, step: Step) -> None:
        """Takes back an event or two, or what an ingest brought of an app; once more, that does nothing."""
        rng = Random(step.draw)
        account = self.tale.account(step.account)
        standing = [event for event in self._events(step.second) if self._can_go(account, event)]
        if not standing:
            return
        event = rng.choice(standing)
        mine = {each["event_id"] for each in standing if each["app_id"] == event["app_id"]}
        number = max(at for at, brought in enumerate(self.ingests, start=1) if event["event_id"] in brought)
        brought = {
            each["event_id"]
            for each in self._events(step.second)
            if each["app_id"] == event["app_id"] and each["event_id"] in self.ingests[number - 1]
            if number == max(at for at, ids in enumerate(self.ingests, start=1) if each["event_id"] in ids)
        }
        if rng.random() < 0.5 and brought <= mine:
            gone, what = brought, ["--ingest", str(number)]
        else:
            gone = {event["event_id"], *rng.sample(sorted(mine), rng.choice([0, 1]))}
            what = [word for name in sorted(gone) for word in ("--event-id", name)]
        line = ("retract", "--app", event["app_id"], *what, "--reason", "a slip")
        for _ in range(rng.choice([1, 2])):
            self.home.change(step.second, *line)
        self.ingests.append(set())
        self.retracted |= gone

    def _can_go(self, account: Account, event: Row) -> bool:
        """Not of an account's first settled day: it stays settled, which a clean bill does not know."""
        if event["app_id"] not in account.apps:
            return False
        return not self.billed[account.id] or account.day(event["at"] // 1000) > self.first_days[account.id]

    def _undo(self, step: Step) -> None:
        """Gives some retracted events of an app back."""
        rng = Random(step.draw)
        gone = [each for each in self._arrived(step.second) if each["event_id"] in self.retracted]
        if gone:
            app = rng.choice(gone)["app_id"]
            back = {each["event_id"] for each in gone if each["app_id"] == app}
            back = set(rng.sample(sorted(back), rng.randrange(1, len(back) + 1)))
            what = [word for name in sorted(back) for word in ("--event-id", name)]
            for _ in range(rng.choice([1, 2])):
                self.home.change(step.second, "retract", "--app", app, *what, "--undo")
            self.ingests.append(set())
            self.retracted -= back

    def stands(self, event: Row) -> bool:
        """Whether an event is not retracted."""
        return event["event_id"] not in self.retracted

    def _events(self, second: int) -> Iterable[Row]:
        """The events that have arrived and are not retracted, each once."""
        return filter(self.stands, self._arrived(second))

    def _arrived(self, second: int) -> Iterable[Row]:
        """The events that have arrived, each once."""
        arrived = [each.event for each in self.tale.arrivals if each.readable and each.second <= second]
        return {event["event_id"]: event for event in arrived}.values()

    def _provisional(self, step: Step, account: Account, *, users: bool) -> Books:
        return self.home.books(step.second, account, "--provisional", users=users)

    def _check(self, step: Step, account: Account, last_day: date) -> None:
        """The books must be those of a clean bill up to a day."""
        found = self.home.books(step.second, account)
        check_same(found, self.clean(account, step.second, last_day), f"{self._at(step.second)}, {account.id}")

    def _check_what_is_settled(self, step: Step) -> None:
        settled = self.home.settled_rows(step.second, self.tale.accounts)
        assert self.settled <= settled, f"{self._at(step.second)}: settled rows changed: {self.settled - settled}"
        self.settled = settled
        self._remember(step, self.tale.apps, in_detail=step.draw < 0.5)

    def _remember(self, step: Step, apps: Sequence[int], *, in_detail: bool = False) -> None:
        """Keeps what is shown now of the windows of some apps; `in_detail`: of some days of one of them by room or
        user, and its minutes."""
        runs = self.home.rows(step.second, "runs", "--limit", 1)
        if not runs:
            return
        views: list[View] = [(app, *ALWAYS) for app in apps]
        if in_detail:
            rng = Random(step.draw)
            last = rng.randrange(self.tale.begin, step.second)
            days = ("--from", instant(last - 2 * DAY)[:10], "--to", instant(last)[:10])
            views.append((rng.choice(apps), *days, "--by", rng.choice(["room", "user"])))
            views.append((rng.choice(apps), *ALWAYS, "--by", rng.choice(["window", "day"]), "--unit", "minutes"))
        for view in views:
            self.known[runs[0]["id"], view] = self.home.rows(step.second, "usage", *view)

    def _export(self, step: Step) -> None:
        """Keeps now and then the workbook of an account's month."""
        account = self.tale.account(step.account)
        yesterday = account.day(step.second) - timedelta(days=1)
        if step.draw < 0.2 and yesterday in self.billed[account.id]:
            workbook = self.home.directory.with_name(f"{account.id}-{step.second}.xlsx")
            month = f"{yesterday:%Y-%m}"
            self.home.run(step.second, "invoice", "export", account.id, "--month", month, "-o", workbook)
            self.workbooks[step.second, account.id, month] = workbook

    def _at(self, second: int) -> str:
        return f"seed {self.tale.seed}, {instant(second)}"


def _lines(rows: list[Row]) -> list[Row]:
    """Correction lines, posted or not."""
    return [{name: value for name, value in row.items() if name not in _NOT_OF_DRY_RUNS} for row in rows]
