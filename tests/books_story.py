"""Stories of documents and money: the program and a second ledger (`tests/books_oracle.py`) go through some months.

A story begins on 1 April 2026 with three accounts whose March is billed. Each step is one command of the program; after
each step, everything that the program reports must be what the second ledger says.
"""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.books_facts import Account, Charge, Document, Line, Package, Version, by_version, net_and_tax
from tests.books_oracle import Books
from tests.commands import Commands
from tests.documents_home import at, ingest, ok, rows
from tests.sample_home import database
from tests.tampered_home import checked, unpacked

SELLER_ZONE = ZoneInfo("Asia/Tokyo")
MONTHS = ("2026-03", "2026-04", "2026-05", "2026-06", "2026-07")
MOMENTS = (
    "2026-04-01",
    "2026-04-10",
    "2026-05-01",
    "2026-05-02",
    "2026-05-20",
    "2026-06-01",
    "2026-07-01",
    "2026-07-02",
)
# Account: currency, its decimals, time zone, apps, prices for 1,000 minutes before and from 16 March, free minutes.
ACCOUNTS = {
    "dollar": ("USD", 2, "Asia/Tokyo", (1400000001, 1400000002), ("137.77", "333.33"), ("99.99", "1234.567"), 0),
    "yen": ("JPY", 0, "Asia/Tokyo", (1400000003,), ("150", "613.5"), ("1350", "1111.1"), 0),
    "dinar": ("BHD", 3, "America/New_York", (1400000004, 1400000005), ("33.337", "71.1111"), ("50.5", "7"), 25),
}
TAXES: dict[str | None, tuple[Version, ...]] = {
    None: (),
    "jp": (Version(tax="jp", valid_from=date(2019, 10, 1), rate=Fraction(10), rounding="down"),),
    "ch": (Version(tax="ch", valid_from=date(2018, 1, 1), rate=Fraction("7.7")),),
    "gross": (Version(tax="gross", valid_from=date(2011, 1, 4), rate=Fraction(20), prices="inclusive", rounding="up"),),
    "moving": (
        Version(tax="moving", valid_from=date(2019, 10, 1), rate=Fraction(8), rounding="up"),
        Version(tax="moving", valid_from=date(2026, 3, 15), rate=Fraction("12.5"), rounding="down"),
        Version(tax="moving", valid_from=date(2026, 4, 20), rate=Fraction(25)),
    ),
}
_FIELDS = "number kind purpose account month issued_on due_on net tax total paid credited open state credits replaces"


def catalog(taxes: dict[str, str | None], names: dict[str, str], packages: list[str]) -> str:
    """The whole catalog; `taxes` and `names` by account."""
    parts = ['[[seller]]\nid = "rooms"\nname = "Rooms"\ntimezone = "Asia/Tokyo"\nterms_days = 30']
    parts += ['invoice = { prefix = "R" }\ncredit_note = { prefix = "RC" }']
    for name, versions in TAXES.items():
        parts += [f'[[tax]]\nid = "{name}"'] if name else []
        for each in versions:
            parts.append(
                f'[[tax.version]]\nvalid_from = {each.valid_from}\ncategory = "S"\nrate = "{float(each.rate)}"\n'
                f'prices = "{each.prices}"\nrounding = "{each.rounding}"\ntext = "tax"'
            )
    for account, (currency, _, zone, apps, before, after, free) in ACCOUNTS.items():
        tax = f'tax = "{taxes[account]}"' if taxes[account] else ""
        parts.append(
            f'[[account]]\nid = "{account}"\nname = "{names[account]}"\ncurrency = "{currency}"\ntimezone = "{zone}"\n'
            f'policy = "trtc-intl"\nfree_minutes = {free}\ninvoices_from = "2026-03"\n{tax}'
        )
        parts += [f'[[app]]\nid = {app}\naccount = "{account}"\nname = "App {app}"' for app in apps]
        for day, (audio, hd) in (("2020-01-01", before), ("2026-03-16", after)):
            prices = f'{{ audio = "{audio}", hd = "{hd}", fhd = "9", 2k = "16", 4k = "36" }}'
            parts.append(f'[[contract]]\naccount = "{account}"\nvalid_from = {day}\nprices = {prices}')
    return "\n".join([*parts, *packages])


def stay(app: int, day: str, minutes: int, user: str) -> str:
    """Events of a user alone in a room for whole minutes, from noon of Tokyo: audio."""
    return "".join(_events(app, f"{user}-{day}", user, day, minutes))


def lesson(app: int, day: str, minutes: int) -> str:
    """Events of a teacher, and of a pupil who receives 1280 x 720."""
    teacher, pupil = (
        _events(app, f"lesson-{day}", "teacher", day, minutes),
        _events(app, f"lesson-{day}", "pupil", day, minutes),
    )
    video = {"type": "video_on", "stream": "teacher/camera", "width": 1280, "height": 720}
    return "".join([*teacher, pupil[0], json.dumps(json.loads(pupil[0]) | video) + "\n", pupil[1]])


def _events(app: int, room: str, user: str, day: str, minutes: int) -> list[str]:
    start = datetime.fromisoformat(f"{day}T12:00:00+09:00")
    row = {"app_id": app, "room_id": room, "user_id": user}
    moments = {"enter": start, "exit": start + timedelta(minutes=minutes)}
    return [json.dumps({**row, "at": at.isoformat(), "type": name}) + "\n" for name, at in moments.items()]


def first_home(folder: Path) -> Commands:
    """The home with which each story begins."""
    run = Commands(home=folder / "home", now="2026-08-01T09:00:00+09:00")
    ok(run, "init")
    (folder / "catalog.toml").write_text(catalog(dict.fromkeys(ACCOUNTS), {each: each for each in ACCOUNTS}, []))
    ok(at(run, "2026-03-01T09:00:00+09:00"), f"catalog apply {folder / 'catalog.toml'}")
    days = ("2026-03-05", "2026-03-14", "2026-03-20", "2026-03-30", "2026-04-03", "2026-04-22", "2026-05-07")
    for number, app in enumerate(app for account in ACCOUNTS.values() for app in account[3]):
        used = [stay(app, day, 7 + 13 * at + number, "u") for at, day in enumerate(days)]
        ingest(run, folder, *used, *(lesson(app, day, 11 + number) for day in days[::2]))
    start = at(run, f"{MOMENTS[0]}T09:00:00+09:00")
    ok(start, "nightly")
    return start


def exact(text: str | None) -> Fraction:
    return Fraction(text or 0)


@dataclass(kw_only=True)
class Story:
    """The program in a home, and the second ledger beside it."""

    run: Commands
    folder: Path
    books: Books
    moment: int = 0
    taxes: dict[str, str | None] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS))
    names: dict[str, str] = field(default_factory=lambda: {each: each for each in ACCOUNTS})
    packages: list[str] = field(default_factory=list)
    ingests: int = 5
    late_ones: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    last_line: str = "account list"
    written: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, run: Commands, folder: Path) -> "Story":
        accounts = {
            name: Account(id=name, digits=digits, first_month=date(2026, 3, 1))
            for name, (_, digits, *_) in ACCOUNTS.items()
        }
        story = cls(run=run, folder=folder, books=Books(accounts=accounts))
        story.learn()
        return story

    @property
    def today(self) -> date:
        """The seller's day."""
        return datetime.fromisoformat(self.run.now).astimezone(SELLER_ZONE).date()

    def do(self, line: str) -> list[dict[str, Any]]:
        """A command that must succeed."""
        self.written.append(f"{self.run.now} billing {line}")
        return rows(self.run, line)

    def tick(self) -> None:
        """A minute passes: what is written later has a later instant."""
        later = datetime.fromisoformat(self.run.now) + timedelta(minutes=1)
        self.run = at(self.run, later.isoformat())

    def refuse(self, line: str, code: int = 1) -> str:
        """A command that must fail, and change nothing."""
        self.written.append(f"{self.run.now} billing {line} (to be refused)")
        before = database(self.run.home)
        done = self.run(line)
        assert (done.exit_code, "Traceback" in done.output) == (code, False), f"{line}: {done.output}"
        assert database(self.run.home) == before, f"{line} was refused, but has changed the books"
        return done.stderr

    def again(self) -> None:
        """The last command that wrote documents or money, once more."""
        before = database(self.run.home)
        rows(self.run, self.last_line)
        assert database(self.run.home) == before, f"{self.last_line}: has done it twice"

    # What happens

    def advance(self) -> None:
        if self.moment + 1 < len(MOMENTS):
            self.moment += 1
            self.run = at(self.run, f"{MOMENTS[self.moment]}T09:00:00+09:00")
        self.do("nightly")
        self.learn()

    def late(self, account: str, choice: int, minutes: int) -> None:
        """Events of a day that is billed already."""
        days = [f"2026-{month}-{day}" for month, day in (("03", "14"), ("03", "25"), ("04", "03"), ("04", "25"))]
        past = [day for day in days if day < self.today.isoformat()]
        app = ACCOUNTS[account][3][choice % len(ACCOUNTS[account][3])]
        self.ingests += 1
        self.late_ones.setdefault(account, []).append((app, self.ingests))
        events = stay(app, past[choice % len(past)], minutes, f"late{self.ingests}")
        ingest(self.run, self.folder, events)
        self.written.append(f"{self.run.now} ingest {account} {past[choice % len(past)]} {minutes} minutes")
        self.do("nightly")
        self.learn()

    def retract(self, account: str, choice: int) -> None:
        """Events were a mistake: late ones, or all that an app began with."""
        apps = ACCOUNTS[account][3]
        all_apps = [app for terms in ACCOUNTS.values() for app in terms[3]]
        first = [(app, 1 + all_apps.index(app)) for app in apps]
        app, number = [*first, *self.late_ones.get(account, [])][-(choice % 2)]
        line = f"retract --app {app} --ingest {number} --reason mistake"
        if self.run(line).exit_code == 0:
            self.written.append(f"{self.run.now} billing {line}")
            self.do("nightly")
            self.learn()

    def change(self, account: str, tax: str | None, name: str) -> None:
        self.taxes[account], self.names[account] = tax, name
        self.books.accounts[account].tax = TAXES[tax]
        self.apply()

    def apply(self) -> None:
        path = self.folder / "catalog.toml"
        path.write_text(catalog(self.taxes, self.names, self.packages), encoding="utf-8")
        self.written.append(f"{self.run.now} catalog apply: {self.taxes} {self.packages}")
        ok(self.run, f"catalog apply {path}")

    def finalize(self, account: str) -> None:
        """Closes the next month, if it is over; closing moves no balance."""
        owner = self.books.accounts[account]
        month = owner.open_month
        line = f"invoice finalize {account} --month {month:%Y-%m}"
        (planned,) = json.loads(self.run(f"{line} --dry-run --format json").stdout)
        if not self.is_over(account, month):
            self.refuse(line)
            return
        before = rows(self.run, f"account balance {account}")[0]["balance"]
        (row,) = self.do(line)
        self.last_line = line
        issued = self.books.finalize(owner, month, self.today)
        assert row["result"] == ("issued" if issued else "nothing_due")
        amounts = [(each["net"], each["tax"], each["total"]) for each in (planned, row)]
        assert amounts[0] == amounts[1], f"planned {planned}, but {row}"
        assert rows(self.run, f"account balance {account}")[0]["balance"] == before
        self.read(issued)

    def finalize_later(self, account: str) -> None:
        """A month after the next one cannot be closed before it."""
        month = (self.books.accounts[account].open_month + timedelta(days=40)).replace(day=1)
        assert self.run(f"invoice finalize {account} --month {month:%Y-%m} --dry-run").exit_code == 1
        self.refuse(f"invoice finalize {account} --month {month:%Y-%m}")

    def is_over(self, account: str, month: date) -> bool:
        zone = ZoneInfo(ACCOUNTS[account][2])
        here = datetime.fromisoformat(self.run.now).astimezone(zone).date()
        return here >= (month + timedelta(days=31)).replace(day=1)

    def pay(self, account: str, hundredths: int, named: int) -> None:
        """Pays so many hundredths of what is open (of 10 where nothing is), and names an invoice, or none."""
        owner, key = self.books.accounts[account], f"B{len(self.books.payments) + 1}"
        amount = round((self.books.open(owner) or Fraction(10)) * hundredths / 100, owner.digits) or Fraction(1)
        numbers = [each.number for each in self.books.documents.values() if each.account == account]
        reference = f"for {numbers[named % len(numbers)]} thanks" if numbers and named else ""
        line = f"payment add {account} {_text(amount)} --id {key} --reference '{reference}'"
        (row,) = self.do(line)
        self.last_line = line
        paid = self.books.pay(owner, key, amount, reference)
        assert [(each["number"], exact(each["amount"])) for each in row["allocated"]] == paid
        assert exact(row["credit"]) == owner.credit
        self.refuse(line.replace(f" {_text(amount)} ", f" {_text(amount + 1)} "))

    def credit(self, choice: int, hundredths: int | None, lines: int) -> None:
        """Credits an invoice: all that is left, some lines, or a part of it by amount."""
        old = self.chosen(choice)
        if old is None:
            return
        left = self.books.left(old)
        chosen = [number for number in sorted(left) if not lines or lines >> (number - 1) & 1] or sorted(left)
        most = self.most(old, {number: left[number] for number in chosen if left[number] > 0})
        line = f"invoice credit {old.number} --reason wrong"
        line += f" --lines {','.join(map(str, chosen))}" if len(chosen) < len(left) else ""
        amount = None
        if hundredths is not None:
            amount = round(most * hundredths / 100, self.books.accounts[old.account].digits)
            line += f" --amount {_text(amount)}"
        done = self.run(f"{line} --format json")
        self.written.append(f"{self.run.now} billing {line} -> {done.exit_code}")
        if done.exit_code:
            is_plain = all(each.amount >= 0 for each in old.lines)
            assert not (is_plain and (amount or 1) <= most and most > 0 and amount != 0), f"{line}: {done.stderr}"
            return
        (row,) = json.loads(done.stdout)
        (shown,) = rows(self.run, f"invoice show {row['number']}")
        amounts = {each["credits_line"]: exact(each["amount"]) for each in shown["lines"] if each["credits_line"]}
        assert set(amounts) <= set(chosen), "other lines were credited"
        for number, part in amounts.items():
            assert abs(part) <= abs(left[number]), f"line {number}: {part} of {left[number]}"
            assert amount is not None or part == left[number], f"line {number}: {part}, not all of {left[number]}"
        note = self.books.credit_note(old, amounts, self.today, "credit")
        assert amount is None or amount == self.priced(old, note), f"{amount} was asked for, and {note.net} credited"
        self.read(note)

    def most(self, old: Document, left: dict[int, Fraction]) -> Fraction:
        """The most that can be credited of lines, in the currency's units: net, or gross where prices include tax."""
        digits, total = self.books.accounts[old.account].digits, Fraction(0)
        gone = by_version((old.lines[n - 1].version, part) for note in old.notes for n, part in note.items())
        for version, amount in by_version((old.lines[n - 1].version, part) for n, part in left.items()).items():
            before = gone.get(version, Fraction(0))
            for sign, (net, tax) in (
                (1, net_and_tax(before + amount, version, digits)),
                (-1, net_and_tax(before, version, digits)),
            ):
                total += sign * (net + (tax if version and version.prices == "inclusive" else 0))
        return total

    @staticmethod
    def priced(old: Document, note: Document) -> Fraction:
        return (
            note.total if any(line.version and line.version.prices == "inclusive" for line in old.lines) else note.net
        )

    def reissue(self, choice: int) -> None:
        old = self.chosen(choice)
        if old is None:
            return
        if old.notes:
            self.refuse(f"invoice reissue {old.number}")
            return
        self.do(f"invoice reissue {old.number}")
        for each in self.books.reissue(old, self.today):
            self.read(each)

    def write_off(self, choice: int) -> None:
        old = self.chosen(choice)
        if old is None:
            return
        line = f"invoice write-off {old.number} --reason 'no hope'"
        if old.open == 0:
            self.refuse(line)
            return
        self.do(line)
        self.books.write_off(old)

    def chosen(self, choice: int) -> Document | None:
        invoices = [each for each in self.books.documents.values() if each.kind == "invoice"]
        return invoices[choice % len(invoices)] if invoices else None

    def buy(self, account: str, charge: str, price: int) -> None:
        """A package of 30 minutes from tomorrow on."""
        owner = self.books.accounts[account]
        bought = self.today + timedelta(days=1)
        name = f"p{len(self.books.packages) + 1}"
        cost = Fraction(price, 10**owner.digits)
        self.packages.append(
            f'[[package]]\nid = "{name}"\naccount = "{account}"\nminutes = 30\ncharge = "{charge}"\n'
            f'price = "{_text(cost)}"\npurchased_at = "{bought}T20:00:00+09:00"'
        )
        self.apply()
        day = datetime.fromisoformat(f"{bought}T20:00:00+09:00").astimezone(ZoneInfo(ACCOUNTS[account][2])).date()
        package = Package(id=name, account=account, price=cost, bought_on=day, charge=charge)
        self.read(self.books.buy(owner, package, self.today))

    def refund(self, choice: int) -> None:
        """Gives back what is left of a package: what is left of its price, less the used minutes at their price."""
        packages = list(self.books.packages.values())
        if not packages:
            return
        package = packages[choice % len(packages)]
        line = f"package refund {package.id}"
        document = self.books.documents.get(package.document or "")
        if package.refunded_on or (package.charge == "invoice" and document is None):
            self.refuse(line)
            return
        (row,) = self.do(line)
        owner = self.books.accounts[package.account]
        (used,) = [
            each["deducted"] for each in rows(self.run, f"packages {package.account}") if each["id"] == package.id
        ]
        at_line, paid = 0, package.price
        if document:
            at_line = next(n for n, each in enumerate(document.lines, 1) if each.package == package.id)
            paid = self.books.left(document)[at_line]
        worth = max(Fraction(0), paid - used * exact(row["unit_price"]))
        amount = Fraction(int(worth * 10**owner.digits + Fraction(1, 2)), 10**owner.digits)
        package.refunded_on = self.settled_day(package.account)
        version = document.lines[at_line - 1].version if document else owner.version_on(package.refunded_on)
        if document is None or not document.notes:
            given = net_and_tax(amount, version, owner.digits)
            assert (row["used"], exact(row["amount"]), exact(row["tax"])) == (used, *given)
        assert owner.id != "dollar" or row["unit_price"] == "0.00099"
        if document and amount:
            self.read(self.books.credit_note(document, {at_line: amount}, self.today, "refund"))
        elif amount:
            package.refund = amount
        self.refuse(line)

    def settled_day(self, account: str) -> date:
        zone = ZoneInfo(ACCOUNTS[account][2])
        return datetime.fromisoformat(self.run.now).astimezone(zone).date() - timedelta(days=1)

    # What the program reports

    def learn(self) -> None:
        """Reads the charges. Those that are known never change; new ones are on no closed month."""
        found: dict[str, list[Charge]] = {each: [] for each in ACCOUNTS}
        for month in MONTHS:
            for row in rows(self.run, f"charges --all --month {month}"):
                found[row["account"]].append(_charge(row))
        for name, charges in found.items():
            account = self.books.accounts[name]
            new = [each for each in charges if each not in account.charges]
            assert len(charges) - len(new) == len(account.charges), "a charge was changed"
            assert not [each for each in new if each.month in account.closed], "posted in a closed month"
            account.charges = charges

    def check(self) -> None:
        """All that the program reports is what the second ledger says."""
        self.check_documents()
        self.check_charges()
        for row in rows(self.run, "account balance"):
            account = self.books.accounts[row["account"]]
            expected = (
                account.credit,
                self.books.open(account),
                self.books.draft(account),
                self.books.balance(account),
            )
            assert tuple(exact(row[name]) for name in ("credit", "open", "draft", "balance")) == expected, row[
                "account"
            ]
            assert expected[0] >= 0
            assert expected[1] >= 0
        assert rows(self.run, "audit") == []

    def check_documents(self) -> None:
        listed = [{name: row[name] for name in _FIELDS.split()} for row in rows(self.run, "invoice list")]
        expected = [_row(each, self.today) for each in self.books.documents.values()]
        assert _by_number(listed) == _by_number(expected)
        for row in listed:
            assert all(exact(row[name]) >= 0 for name in ("total", "paid", "credited", "open")), row
            assert exact(row["credited"]) <= exact(row["total"])

    def check_bundles(self) -> None:
        """The program of each bundle comes to the total of the last document of a month."""
        last = {(row["account"], row["month"]): row for row in rows(self.run, "invoice list") if not row["credits"]}
        for (account, month), row in last.items():
            if row["purpose"] in ("usage", "reissue"):
                archive = self.folder / f"{account}-{month}.zip"
                ok(self.run, f"bundle {account} --month {month} -o {archive}")
                exit_code, lines = checked(unpacked(archive, archive.with_suffix("")))
                assert (exit_code, lines[-1]) == (0, f"total {row['total']} {row['currency']}")

    def check_charges(self) -> None:
        for month in MONTHS[: self.moment + 2]:
            for row in rows(self.run, f"charges --all --month {month}"):
                account = self.books.accounts[row["account"]]
                assert row["document"] == self.books.live_document(account, _charge(row)), row

    def read(self, document: Document | None) -> None:
        """The lines of a new document: what the second ledger says, in the program's order; they sum to the net."""
        if document is None:
            return
        (row,) = rows(self.run, f"invoice show {document.number}")
        assert exact(row["total"]) == document.total, f"{document.number}: {row}"
        is_inclusive = any(tax["prices"] == "inclusive" for tax in row["taxes"])
        assert sum(exact(line["amount"]) for line in row["lines"]) == (document.total if is_inclusive else document.net)
        assert sum(exact(tax["amount"]) for tax in row["taxes"]) == document.tax
        if document.lines:
            document.lines = _in_order(document.lines, row["lines"])


def _in_order(lines: Any, shown: list[dict[str, Any]]) -> list[Line]:
    left, ordered = list(lines), []
    for row in shown:
        if row["kind"] != "rounding":
            facts = (row["kind"], row["app_id"], row["item"], row["package"], exact(row["amount"]), row["tax"])
            match = [each for each in left if _facts(each) == facts]
            assert match, f"the second ledger has no line {row}, it has {left}"
            ordered.append(match[0])
            left.remove(match[0])
    assert not left, f"the document lacks {left}"
    return ordered


def _facts(line: Line) -> tuple[object, ...]:
    tax = line.version.tax if line.version else None
    return (line.kind, line.app if line.app else None, line.item, line.package, line.amount, tax)


def _row(document: Document, today: date) -> dict[str, Any]:
    row = {name: getattr(document, name) for name in _FIELDS.split() if name not in ("state", "month")}
    row |= {name: _text(row[name]) for name in ("net", "tax", "total", "paid", "credited", "open")}
    row |= {name: row[name].isoformat() if row[name] else None for name in ("issued_on", "due_on")}
    month = f"{document.month:%Y-%m}" if document.month else None
    return row | {"state": document.state(today), "month": month}


def _by_number(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["number"]: row for row in found}


def _charge(row: dict[str, Any]) -> Charge:
    return Charge(
        day=date.fromisoformat(row["day"]),
        posted_on=date.fromisoformat(row["posted_on"]),
        app=row["app_id"],
        item=row["item"],
        kind=row["kind"],
        run=row["run"],
        unit_price=row["unit_price"],
        amount=exact(row["amount"]),
    )


def _text(amount: Fraction) -> str:
    """As the program writes it: 110, 0.5."""
    text = f"{float(amount):.3f}"
    assert Fraction(text) == amount
    return text.rstrip("0").rstrip(".")
