"""A second ledger, written from the rules for documents and money alone: slow, obvious, and in fractions.

It is told facts (the daily charges, what an account names as its tax, what was paid, which lines a credit note takes)
and works out everything else: the drafts of the open months, tax by group, numbers, states, what is open, and balances.
100.00 at 10 % paid with 120.00: the invoice is 110.00, paid, and 10.00 stay the customer's credit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction

from tests.books_facts import (
    ZERO,
    Account,
    Charge,
    Document,
    Line,
    Package,
    Version,
    by_version,
    following,
    net_and_tax,
)


@dataclass(kw_only=True)
class Books:
    """All accounts of one seller with its series R and RC, yearly, due after 30 days."""

    accounts: dict[str, Account]
    packages: dict[str, Package] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    payments: dict[str, tuple[str, Fraction, str]] = field(default_factory=dict)

    def draft_lines(self, account: Account, month: date) -> list[Line]:
        """What stands on the document of a month, if it were issued now."""
        return [*_charge_lines(account, month), *self._package_lines(account, month)]

    def _package_lines(self, account: Account, month: date) -> Iterator[Line]:
        is_next = month == account.open_month
        for each in self.packages.values():
            if each.account != account.id:
                continue
            bought = each.bought_on.replace(day=1)
            own = bought == month or (is_next and bought < month)
            if each.charge == "invoice" and each.document is None and own:
                yield _package_line(account, each)
            if each.charge == "external" and each.refund and each.refund_document is None and is_next:
                assert each.refunded_on is not None
                version = account.version_on(each.refunded_on)
                yield Line(kind="refund", amount=-each.refund, day=each.refunded_on, package=each.id, version=version)

    def sums(self, account: Account, lines: Sequence[Line]) -> tuple[Fraction, Fraction]:
        """Net and tax of lines, before their signs are turned."""
        groups = by_version((line.version, line.amount) for line in lines)
        parts = [net_and_tax(exact, version, account.digits) for version, exact in groups.items()]
        return sum((net for net, _ in parts), ZERO), sum((tax for _, tax in parts), ZERO)

    def draft(self, account: Account) -> Fraction:
        """The totals of all months that are not closed."""
        last = max(
            [account.open_month]
            + [each.month for each in account.charges]
            + [each.bought_on.replace(day=1) for each in self.packages.values() if each.account == account.id]
        )
        total, month = ZERO, account.open_month
        while month <= last:
            total += sum(self.sums(account, self.draft_lines(account, month)))
            month = following(month)
        return total

    def open(self, account: Account) -> Fraction:
        return sum((each.open for each in self.documents.values() if each.account == account.id), ZERO)

    def balance(self, account: Account) -> Fraction:
        return account.credit - self.open(account) - self.draft(account)

    # Documents

    def finalize(self, account: Account, month: date, today: date) -> Document | None:
        """Closes a month with its document; None: nothing is due."""
        assert month == account.open_month
        lines = self.draft_lines(account, month)
        net, tax = self.sums(account, lines)
        if net + tax == 0 and not any(line.package for line in lines):
            account.closed[month] = None
            return None
        document = self._issue(account, lines, net, tax, today, purpose="usage", month=month)
        account.closed[month] = document.number
        return document

    def buy(self, account: Account, package: Package, today: date) -> Document | None:
        """Adds a package; a prepaid one is invoiced at once."""
        self.packages[package.id] = package
        if package.charge != "prepaid":
            return None
        lines = [_package_line(account, package)]
        return self._issue(account, lines, *self.sums(account, lines), today, purpose="package", month=None)

    def reissue(self, old: Document, today: date) -> tuple[Document, Document]:
        """Takes a whole invoice back and issues its lines with the account's present tax."""
        account = self.accounts[old.account]
        assert not old.notes
        amounts = {number: line.amount for number, line in enumerate(old.lines, 1)}
        note = self._credit_note(old, amounts, today, purpose="reissue")
        lines = [replace(line, version=account.version_on(line.day)) for line in old.lines]
        new = self._issue(
            account, lines, *self.sums(account, lines), today, purpose="reissue", month=old.month, replaces=old.number
        )
        if old.month is not None:
            account.closed[old.month] = new.number
        return note, new

    def credit_note(self, old: Document, amounts: dict[int, Fraction], today: date, purpose: str) -> Document:
        """A credit note for exact amounts by line."""
        note = self._credit_note(old, amounts, today, purpose=purpose)
        self.allocate(self.accounts[old.account])
        return note

    def write_off(self, document: Document) -> None:
        document.written_off, document.gave_up = document.open, True

    def _credit_note(self, old: Document, amounts: dict[int, Fraction], today: date, *, purpose: str) -> Document:
        """Net and tax: of all that is credited so far, less what was credited before, by version."""
        account = self.accounts[old.account]
        before, after = (by_version(self._credited(old, notes)) for notes in (old.notes, [*old.notes, amounts]))
        net = tax = ZERO
        for version, exact in after.items():
            net_after, tax_after = net_and_tax(exact, version, account.digits)
            net_before, tax_before = net_and_tax(before.get(version, ZERO), version, account.digits)
            net, tax = net + net_after - net_before, tax + tax_after - tax_before
        old.notes.append(amounts)
        note = self._write(account, "credit_note", purpose, old.month, net, tax, today, corrects=old.number)
        self._give_back(account, old, note.total)
        return note

    @staticmethod
    def _credited(old: Document, notes: Iterable[dict[int, Fraction]]) -> Iterator[tuple[Version | None, Fraction]]:
        for note in notes:
            for number, amount in note.items():
                yield old.lines[number - 1].version, amount

    @staticmethod
    def _give_back(account: Account, old: Document, amount: Fraction) -> None:
        """A credit takes from what is open, then from what was given up; only the rest was the customer's money."""
        rest = amount - min(amount, old.open)
        old.credited += amount
        reversed_ = min(rest, old.written_off)
        old.written_off -= reversed_
        old.paid -= rest - reversed_
        account.credit += rest - reversed_

    def _issue(
        self,
        account: Account,
        lines: Sequence[Line],
        net: Fraction,
        tax: Fraction,
        today: date,
        *,
        purpose: str,
        month: date | None,
        replaces: str | None = None,
    ) -> Document:
        """A total below zero turns all signs: it is a credit note, and the customer's credit."""
        kind = "credit_note" if net + tax < 0 else "invoice"
        sign = -1 if kind == "credit_note" else 1
        document = self._write(account, kind, purpose, month, sign * net, sign * tax, today, replaces=replaces)
        document.lines = [replace(line, amount=sign * line.amount) for line in lines]
        for line in lines:
            if line.package and line.kind == "refund":
                self.packages[line.package].refund_document = document.number
            elif line.package:
                self.packages[line.package].document = document.number
        if kind == "credit_note":
            account.credit += document.total
        self.allocate(account)
        return document

    def _write(
        self,
        account: Account,
        kind: str,
        purpose: str,
        month: date | None,
        net: Fraction,
        tax: Fraction,
        today: date,
        *,
        corrects: str | None = None,
        replaces: str | None = None,
    ) -> Document:
        prefix = "RC" if kind == "credit_note" else "R"
        before = sum(each.kind == kind and each.issued_on.year == today.year for each in self.documents.values())
        number = f"{prefix}-{today.year}-{before + 1:06}"
        due_on = today + timedelta(days=30) if kind == "invoice" else None
        document = Document(
            number=number,
            account=account.id,
            kind=kind,
            purpose=purpose,
            month=month,
            issued_on=today,
            due_on=due_on,
            net=net,
            tax=tax,
            credits=corrects,
            replaces=replaces,
        )
        self.documents[number] = document
        return document

    # Money

    def pay(self, account: Account, key: str, amount: Fraction, reference: str) -> list[tuple[str, Fraction]]:
        """Records a payment once; what it paid, in order."""
        if key in self.payments:
            assert self.payments[key] == (account.id, amount, reference)
            return []
        self.payments[key] = (account.id, amount, reference)
        account.credit += amount
        named = [each.number for each in self._open(account) if each.number in reference.split()]
        return self.allocate(account, first=named[0] if len(named) == 1 else None)

    def allocate(self, account: Account, first: str | None = None) -> list[tuple[str, Fraction]]:
        """Credit pays the named invoice, then by due date, then by number."""
        done = []
        for document in sorted(self._open(account), key=lambda each: (each.number != first, each.due_on, each.number)):
            part = min(account.credit, document.open)
            if part > 0:
                document.paid += part
                account.credit -= part
                done.append((document.number, part))
        return done

    def _open(self, account: Account) -> list[Document]:
        return [each for each in self.documents.values() if each.account == account.id and each.open > 0]

    # What is left to credit

    def left(self, document: Document) -> dict[int, Fraction]:
        """By line: its amount, less what was credited, less what later corrections took off its charges."""
        left = {number: line.amount for number, line in enumerate(document.lines, 1)}
        for note in document.notes:
            for number, amount in note.items():
                left[number] -= amount
        for number, change in self._corrected(document).items():
            if left[number] > 0 and change < 0:
                left[number] = max(ZERO, left[number] + change)
        return left

    def _corrected(self, document: Document) -> dict[int, Fraction]:
        """By line: what later corrections took off; each takes what earlier ones added first."""
        runs: dict[tuple[date, int, str], int] = {}
        at: dict[tuple[date, int, str], int] = {}
        for number, line in enumerate(document.lines, 1):
            for charge in line.charges:
                at.setdefault(charge.thing, number)
                runs[charge.thing] = max(runs.get(charge.thing, 0), charge.run)
        later = [
            each
            for each in self.accounts[document.account].charges
            if each.kind == "correction" and each.thing in at and each.run > runs[each.thing]
        ]
        added: dict[tuple[date, int, str], Fraction] = {}
        changes: dict[int, Fraction] = {}
        for each in sorted(later, key=lambda each: (each.run, each.amount)):
            more = added.get(each.thing, ZERO) + each.amount
            added[each.thing] = max(ZERO, more)
            if more < 0:
                changes[at[each.thing]] = changes.get(at[each.thing], ZERO) + more
        return changes

    def live_document(self, account: Account, charge: Charge) -> str | None:
        """Where a charge stands: on the document of its month."""
        return account.closed.get(charge.month)


def _package_line(account: Account, package: Package) -> Line:
    return Line(
        kind="package",
        amount=package.price,
        day=package.bought_on,
        package=package.id,
        version=account.version_on(package.bought_on),
    )


def _charge_lines(account: Account, month: date) -> Iterator[Line]:
    """Usage by app, item and price, with the tax of its last day; corrections also by the version of their day."""
    drawn: dict[tuple[object, ...], list[Charge]] = {}
    for charge in account.charges:
        if charge.month == month:
            version = account.version_on(charge.day) if charge.kind == "correction" else None
            drawn.setdefault((charge.kind, charge.app, charge.item, charge.unit_price, version), []).append(charge)
    for charges in drawn.values():
        day, first = max(charge.day for charge in charges), charges[0]
        yield Line(
            kind=first.kind,
            amount=sum((charge.amount for charge in charges), ZERO),
            day=day,
            app=first.app,
            item=first.item,
            unit_price=first.unit_price,
            version=account.version_on(day),
            charges=tuple(charges),
        )
