"""The journal: beancount and hledger accept it, and its balances are those of the ledger."""

import csv
import io
import json
import re
import shlex
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from billing.ledger import document_tables as tables
from billing.ledger import transfers as books
from billing.ledger.database import open_database, writing
from billing.ledger.transfers import Entry, Transfer, post
from billing.receivables.journal import (
    ACCOUNTS,
    SUBJECTS,
    PostedTransfer,
    account_name,
    amount_text,
    transactions,
)
from billing.receivables.journal_formats import beancount_lines, hledger_lines
from tests.accounting_programs import (
    Balances,
    beancount_balances,
    check_beancount,
    check_hledger,
    hledger_balances,
    hledger_transactions,
    needs_hledger,
    read_beancount,
)
from tests.commands import ROOT, Commands, blocks
from tests.depth import SLOW_EXAMPLES
from tests.sample_home import SAMPLE

# An account whose id has all that means something to one of the programs.
ODD = '会社 "west"; a\\b, c: [2026-02-30] (x) | 100%25'
ODD_PAYMENT = '=2+3 "; date:2026-99-99, x'
ODD_REFERENCE = 'two\nlines\t"x" \\ ; [2026/13/01] '
ODD_INVOICE, ODD_NOTE = 'W;-"1", 会', "WC|(2)"
NOW = "2026-04-02T09:00:00+09:00"

CATALOG = """
[[seller]]
id = "east"
name = "East Rooms Ltd."
timezone = "Asia/Tokyo"

[[seller]]
id = "west"
name = "West Rooms Inc."
timezone = "America/New_York"
invoice = { prefix = "W;-" }
credit_note = { prefix = "WC" }

[[tax]]
id = "jp-10"
[[tax.version]]
valid_from = 2019-10-01
category = "S"
rate = "10"
rounding = "down"
text = "JCT 10%"

[[account]]
id = "academy"
name = "Academy K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 50
seller = "east"
tax = "jp-10"

[[app]]
id = 1400000001
account = "academy"
name = "Classroom"

[[package]]
id = "big"
account = "academy"
minutes = 25000
purchased_at = "2026-03-15T18:00:00+09:00"
price = "24.00"
charge = "invoice"

[[account]]
id = 'ODD'
name = "West"
currency = "JPY"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
seller = "west"

[[contract]]
account = 'ODD'
valid_from = 2026-01-01
prices = { audio = "150", hd = "600", fhd = "1350", 2k = "2400", 4k = "5400" }

[[package]]
id = 'ODD'
account = 'ODD'
minutes = 1000
purchased_at = "2026-03-15T18:00:00+09:00"
"""


def done(run: Commands, line: str) -> str:
    result = run(line)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """March of `academy` is issued, 0.60 more than its total is paid, and 1.00 is credited and so released; then
    transfers of every cause by hand, for an account with an odd id, another seller and another currency."""
    directory = tmp_path_factory.mktemp("journal")
    run = Commands(home=directory / "home", now=NOW)
    catalog = CATALOG.replace("'ODD'", json.dumps(ODD, ensure_ascii=False))
    (directory / "catalog.toml").write_text(catalog, encoding="utf-8")
    for line in ("init", f"catalog apply {directory}/catalog.toml", f"ingest {SAMPLE}/events.ndjson", "nightly"):
        done(run, line)
    done(run, "invoice finalize academy --month 2026-03")
    [invoice] = json.loads(done(run, "invoice list --format json"))
    too_much = Decimal(invoice["total"]) + Decimal("0.60")
    done(run, f"payment add academy {too_much} --id bank-1 --on 2026-04-05")
    done(run, f"invoice credit {invoice['number']} --amount 1.00 --reason goodwill")
    _post_by_hand(run)
    return run


def _post_by_hand(run: Commands) -> None:
    """One of each cause: (cause, day, document or payment, transfers)."""
    engine = open_database(run.home / "billing.db")
    with writing(engine) as conn:
        pattern = dict(conn.execute(select(tables.document).limit(1)).mappings().one())
        odd = {**pattern, "seller_id": "west", "account_id": ODD, "currency": "JPY", "period": "2026", "sequence": 1}
        note = {"id": 101, "number": ODD_NOTE, "kind": "credit_note", "due_on": None}
        conn.execute(insert(tables.document).values({**odd, "id": 100, "number": ODD_INVOICE}))
        conn.execute(insert(tables.document).values({**odd, **note}))
        received = {"key": ODD_PAYMENT, "reference": ODD_REFERENCE, "received_on": date(2026, 4, 3)}
        more = {"id": 100, "account_id": ODD, "amount_scaled": 10**11, "currency": "JPY", "recorded_at_ms": 5}
        conn.execute(insert(tables.payment).values({**received, **more}))
        for cause, day, caused_by, moved in BY_HAND:
            entry = Entry(
                account_id=ODD, currency="JPY", cause=cause, posted_on=date(2026, 4, day), recorded_at_ms=1, **caused_by
            )
            post(conn, entry, [_transfer(*each) for each in moved])


def _transfer(debit: str, credit: str, amount: str) -> Transfer:
    sides = {debit, credit}
    return Transfer(
        debit=debit,
        credit=credit,
        amount=Decimal(amount),
        receivable_id=100 if "receivable" in sides else None,
        package_id=ODD if "deferred" in sides else None,
    )


INVOICE, NOTE = {"document_id": 100}, {"document_id": 101}
BY_HAND: list[tuple[str, int, dict[str, int], list[tuple[str, str, str]]]] = [
    ("invoice", 1, INVOICE, [("receivable", "revenue", "2157"), ("receivable", "tax", "215")]),
    ("invoice", 2, INVOICE, [("receivable", "deferred", "100.5")]),
    ("payment", 3, {"payment_id": 100}, [("bank", "credit", "1000")]),
    ("allocation", 3, {}, [("credit", "receivable", "1000")]),
    ("credit_note", 4, NOTE, [("revenue", "receivable", "300"), ("tax", "receivable", "30")]),
    ("release", 4, NOTE, [("receivable", "credit", "7")]),
    ("usage", 5, {}, [("deferred", "revenue", "40.12345678")]),
    ("lapse", 5, {}, [("deferred", "breakage", "0.5")]),
    ("write_off", 6, INVOICE, [("bad_debt", "receivable", "99")]),
]


def exported(run: Commands, directory: Path, output_format: str, more: str = "") -> Path:
    file = directory / f"books.{output_format}"
    done(run, f"export journal --format {output_format} {more} -o {file}")
    return file


def ledger_sums(run: Commands, where: str = "true") -> dict[tuple[str, str | None, str], Decimal]:
    """What the database says: sums above zero are debits, by account of the ledger, customer and currency."""
    with sqlite3.connect(run.home / "billing.db") as connection:
        found = connection.execute(
            f"WITH chosen AS (SELECT * FROM transfer WHERE {where}) "  # noqa: S608
            "SELECT side, account_id, currency, sum(amount) FROM ("
            "SELECT debit AS side, account_id, currency, amount_scaled AS amount FROM chosen UNION ALL "
            "SELECT credit, account_id, currency, -amount_scaled FROM chosen) GROUP BY 1, 2, 3"
        ).fetchall()
    connection.close()
    sums: dict[tuple[str, str | None, str], Decimal] = defaultdict(Decimal)
    for side, customer, currency, scaled in found:
        of_one = side in ("receivable", "credit")
        sums[ACCOUNTS[side], customer if of_one else None, currency] += Decimal(scaled).scaleb(-8)
    return {key: amount for key, amount in sums.items() if amount}


def by_ledger_account(
    balances: Balances, customers: Mapping[str, str | None]
) -> dict[tuple[str, str | None, str], Decimal]:
    """Balances of a journal in the terms of `ledger_sums`: a customer's account is the one that its opening names."""
    found = {}
    for (account, currency), amount in balances.items():
        customer = customers[account]
        found[account.rpartition(":")[0] if customer else account, customer, currency] = amount
    assert len(found) == len(balances)
    return found


def test_bean_check_accepts_the_journal_and_its_balances_are_the_ledgers(story: Commands, tmp_path: Path) -> None:
    file = exported(story, tmp_path, "beancount")
    check_beancount(file)
    read = read_beancount(file)
    expected = ledger_sums(story)
    assert by_ledger_account(beancount_balances(read), read["customers"]) == expected
    assert {currency for _, _, currency in expected} == {"USD", "JPY"}
    assert expected["Assets:Receivable", ODD, "JPY"] == Decimal("2157") + 215 + Decimal("100.5") - 1000 - 330 + 7 - 99
    assert expected["Liabilities:CustomerCredit", "academy", "USD"] == Decimal("-1.70")
    assert expected["Assets:Bank", None, "JPY"] == 1000


@needs_hledger
def test_hledger_accepts_the_journal_and_its_balances_are_the_ledgers(story: Commands, tmp_path: Path) -> None:
    file = exported(story, tmp_path, "hledger")
    check_hledger(file)
    customers = {
        posting["paccount"]: dict(posting["ptags"]).get("customer")
        for each in hledger_transactions(file)
        for posting in each["tpostings"]
    }
    found = {account: customer and unquote(customer) for account, customer in customers.items()}
    assert by_ledger_account(hledger_balances(file), found) == ledger_sums(story)


def test_the_csv_has_each_transfer_once_and_sums_to_the_ledger(story: Commands) -> None:
    rows = list(csv.DictReader(io.StringIO(done(story, "export journal --format csv -o -"), newline="")))
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        for side, amount in ((row["debit"], Decimal(row["amount"])), (row["credit"], -Decimal(row["amount"]))):
            sums[side, row["currency"]] += amount
    customers = {side: row["customer"] for row in rows for side in (row["debit"], row["credit"])}
    of_one = {side: customer if side.count(":") == 2 else None for side, customer in customers.items()}
    assert by_ledger_account({key: amount for key, amount in sums.items() if amount}, of_one) == ledger_sums(story)
    with sqlite3.connect(story.home / "billing.db") as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM transfer ORDER BY posted_on, id")]
    connection.close()
    assert [int(row["transfer"]) for row in rows] == ids
    [paid] = [row for row in rows if row["cause"] == "payment" and row["customer"] == ODD]
    assert paid["payment"] == f"'{ODD_PAYMENT}"  # else a spreadsheet would compute it
    assert (paid["reference"], paid["amount"], paid["seller"]) == (ODD_REFERENCE, "1000", "")


def test_a_transaction_is_what_one_cause_moved_for_one_document_or_payment(story: Commands, tmp_path: Path) -> None:
    read = read_beancount(exported(story, tmp_path, "beancount", f"--account {shlex.quote(ODD)}"))
    told = [(each["meta"]["cause"], each["narration"]) for each in read["transactions"]]
    assert sorted(told) == sorted(
        [
            ("invoice", f"Invoice {ODD_INVOICE}"),
            ("invoice", f"Invoice {ODD_INVOICE}"),
            ("payment", f"Payment {ODD_PAYMENT}"),
            ("allocation", f"Payment of {ODD_INVOICE}"),
            ("credit_note", f"Credit note {ODD_NOTE}"),
            ("release", f"Release of {ODD_INVOICE} by {ODD_NOTE}"),
            ("usage", f"Use of package {ODD}"),
            ("lapse", f"Lapse of package {ODD}"),
            ("write_off", f"Write-off of {ODD_INVOICE}"),
        ]
    )
    by_day = {(each["date"], each["meta"]["cause"]): each for each in read["transactions"]}
    first = by_day["2026-04-01", "invoice"]
    receivable = account_name("receivable", ODD)
    assert first["postings"] == [
        [receivable, "2372 JPY", {"invoice": ODD_INVOICE}],
        ["Income:Usage", "-2157 JPY", {}],
        ["Liabilities:Tax", "-215 JPY", {}],
    ]
    assert first["meta"] == {"customer": ODD, "cause": "invoice", "document": ODD_INVOICE, "seller": "west"}
    assert by_day["2026-04-03", "payment"]["meta"]["reference"] == ODD_REFERENCE
    assert by_day["2026-04-05", "usage"]["postings"][0] == [
        "Liabilities:DeferredRevenue",
        "40.12345678 JPY",
        {"package": ODD},
    ]
    invoice_link = set(first["links"])
    touching = {each["meta"]["cause"] for each in read["transactions"] if invoice_link & set(each["links"])}
    assert touching == {"invoice", "allocation", "credit_note", "release", "write_off"}


@needs_hledger
def test_what_hledger_cannot_hold_is_encoded_and_can_be_got_back(story: Commands, tmp_path: Path) -> None:
    read = hledger_transactions(exported(story, tmp_path, "hledger", f"--account {shlex.quote(ODD)}"))
    [paid] = [each for each in read if ["cause", "payment"] in each["ttags"]]
    tags = {name: unquote(value) for name, value in paid["ttags"]}
    assert tags == {"customer": ODD, "cause": "payment", "payment": ODD_PAYMENT, "reference": ODD_REFERENCE}
    assert unquote(paid["tcode"]) == ODD_PAYMENT
    payee, _, note = paid["tdescription"].partition(" | ")
    assert (unquote(payee), unquote(note)) == (ODD, f"Payment {ODD_PAYMENT}")
    [lapsed] = [each for each in read if ["cause", "lapse"] in each["ttags"]]
    assert unquote(dict(lapsed["tpostings"][0]["ptags"])["package"]) == ODD


@pytest.mark.parametrize("output_format", ["beancount", pytest.param("hledger", marks=needs_hledger)])
def test_an_account_and_days_are_an_extract_that_still_checks(
    story: Commands, tmp_path: Path, output_format: str
) -> None:
    file = exported(story, tmp_path, output_format, "--account academy --from 2026-04-03 --to 2026-04-05")
    expected = ledger_sums(story, "account_id = 'academy' AND posted_on BETWEEN '2026-04-03' AND '2026-04-05'")
    if output_format == "beancount":
        check_beancount(file)
        found = beancount_balances(read_beancount(file))
    else:
        check_hledger(file)
        found = hledger_balances(file)
    assert dict(found) == {
        (f"{name}:Academy" if customer else name, currency): amount
        for (name, customer, currency), amount in expected.items()
    }
    assert ("Assets:Bank", "USD") in found
    assert ("Income:Usage", "USD") not in found


@pytest.mark.parametrize("output_format", ["beancount", pytest.param("hledger", marks=needs_hledger)])
def test_no_transfers_are_a_journal_too(story: Commands, tmp_path: Path, output_format: str) -> None:
    file = exported(story, tmp_path, output_format, "--to 2026-01-01")
    (check_beancount if output_format == "beancount" else check_hledger)(file)
    assert (beancount_balances(read_beancount(file)) if output_format == "beancount" else hledger_balances(file)) == {}


def test_a_journal_on_standard_output_is_the_journal_in_a_file(story: Commands, tmp_path: Path) -> None:
    for output_format in ("beancount", "hledger", "csv"):
        file = exported(story, tmp_path, output_format)
        shown = done(story, f"export journal --format {output_format} -o -")
        assert shown == file.read_bytes().decode()


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ("--account acadmy -o {out}", 2, "unknown account 'acadmy'; did you mean 'academy'?"),
        ("--from 2026-04-02 --to 2026-04-01 -o {out}", 2, "2026-04-02 is after 2026-04-01: give the earlier day first"),
        ("-o {home}/books", 1, "it is inside the home"),
        ("-o {home}/../nowhere/books", 1, "does not exist; create it first"),
    ],
)
def test_a_journal_that_cannot_be_written_says_why(
    story: Commands, tmp_path: Path, more: str, code: int, said: str
) -> None:
    out = tmp_path / "books"
    result = story(f"export journal --format csv {more.format(out=out, home=story.home)}")
    assert (result.exit_code, result.stdout, said in result.stderr) == (code, "", True), result.output
    assert len(result.stderr.strip().splitlines()) == 1 or code == 2
    assert not out.exists()


@pytest.mark.parametrize("output_format", ["beancount", "hledger"])
def test_the_page_on_the_journal_shows_what_is_written(story: Commands, output_format: str) -> None:
    [shown] = blocks((ROOT / "docs" / "journal.md").read_text(encoding="utf-8"), output_format)
    assert f"\n\n{shown}\n" in done(story, f"export journal --format {output_format} -o -")


def test_every_account_and_cause_of_the_ledger_has_its_words() -> None:
    named = {name: value for name, value in vars(books).items() if name.isupper() and isinstance(value, str)}
    accounts = {"RECEIVABLE", "REVENUE", "TAX", "DEFERRED", "BREAKAGE", "BANK", "CREDIT", "BAD_DEBT"}
    assert {named.pop(name) for name in accounts} == set(ACCOUNTS)
    assert set(named.values()) == set(SUBJECTS)


@pytest.mark.parametrize(
    ("customer", "part"),
    [("academy", "Academy"), ("acme-west", "Acme-west"), ("1a", "1a"), ("ACME", "ACME"), ("ACME-2b", "ACME-2b")],
)
def test_plain_ids_are_names_as_they_are(customer: str, part: str) -> None:
    assert account_name("receivable", customer) == f"Assets:Receivable:{part}"


@pytest.mark.parametrize("customer", ["Acme", "acme_west", "a b", "-a", "会社", "ACME-X0123456789ab", "x0123456789ab"])
def test_all_other_ids_get_a_hash(customer: str) -> None:
    assert re.fullmatch(r"Liabilities:CustomerCredit:([A-Z0-9][A-Za-z0-9-]*-)?X[0-9a-f]{12}", name_of(customer))


def name_of(customer: str) -> str:
    return account_name("credit", customer)


def test_an_id_that_is_the_name_of_another_gets_its_own() -> None:
    of_others = [name_of(customer).rpartition(":")[2] for customer in ("会社", "a b")]
    ids = [*of_others, *(part.lower() for part in of_others), "会社", "a b"]
    assert len({name_of(customer) for customer in ids}) == len(ids)


@given(st.sets(st.text(alphabet="aAbB1-X_ é会", min_size=1, max_size=5), max_size=40))
def test_two_ids_never_get_one_name_and_every_name_is_legal(customers: set[str]) -> None:
    names = [name_of(customer) for customer in customers]
    assert len(set(names)) == len(customers)
    for name in names:
        assert re.fullmatch(r"Liabilities:CustomerCredit:[A-Z0-9][A-Za-z0-9-]*", name)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("12.5", "USD", "12.50"),
        ("12.50000000", "USD", "12.50"),
        ("0.00099", "USD", "0.00099"),
        ("-1000", "JPY", "-1000"),
        ("0.5", "JPY", "0.5"),
        ("1", "KWD", "1.000"),
        ("92233720368.54775807", "EUR", "92233720368.54775807"),
        ("0", "EUR", "0.00"),
    ],
)
def test_amounts_are_exact_with_the_decimals_of_their_currency(amount: str, currency: str, text: str) -> None:
    assert amount_text(Decimal(amount), currency) == text


def endless() -> Iterator[PostedTransfer]:
    for number in count():
        yield PostedTransfer(
            id=number,
            posted_on=date(2026, 1, 1) + timedelta(days=number // 10),
            recorded_at_ms=number,
            cause="payment",
            account_id="acme",
            debit="bank",
            credit="credit",
            amount=Decimal(1),
            currency="USD",
            payment=f"bank-{number}",
        )
        assert number < 1_000, "read ahead"


@pytest.mark.parametrize("lines_of", [beancount_lines, hledger_lines])
def test_lines_are_written_while_transfers_are_read(lines_of: Any) -> None:
    assert len(list(islice(lines_of(endless()), 500))) == 500


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD"])


@st.composite
def random_transfers(draw: st.DrawFn) -> list[PostedTransfer]:
    """Transfers in the order in which the ledger gives them, of few accounts and documents, so that some belong
    together; ids are any text."""
    ids = st.sampled_from(draw(st.lists(TEXT, min_size=1, max_size=3, unique=True)))
    days = draw(st.lists(st.dates(date(1970, 1, 1), date(2999, 12, 31)), min_size=1, max_size=3))
    transfers = []
    for number, day in enumerate(sorted(draw(st.lists(st.sampled_from(days), min_size=1, max_size=40)))):
        debit, credit = draw(st.lists(st.sampled_from(sorted(ACCOUNTS)), min_size=2, max_size=2, unique=True))
        transfers.append(
            PostedTransfer(
                id=number,
                posted_on=day,
                recorded_at_ms=draw(st.integers(0, 1)),
                cause=draw(st.sampled_from(["invoice", draw(st.sampled_from(sorted(SUBJECTS)))])),
                account_id=draw(ids),
                debit=debit,
                credit=credit,
                amount=Decimal(draw(st.integers(1, 2**63 - 1))).scaleb(-draw(st.sampled_from([0, 2, 3, 8]))),
                currency=draw(CURRENCIES),
                invoice=draw(ids) if "receivable" in (debit, credit) else None,
                **{name: draw(st.none() | ids) for name in ("document", "payment", "reference", "package", "seller")},
            )
        )
    return transfers


def sums_of(transfers: list[PostedTransfer]) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in transfers:
        sums[account_name(each.debit, each.account_id), each.currency] += each.amount
        sums[account_name(each.credit, each.account_id), each.currency] -= each.amount
    return {key: amount for key, amount in sums.items() if amount}


@given(random_transfers())
def test_postings_are_of_one_customer_and_sum_to_zero_and_lose_nothing(transfers: list[PostedTransfer]) -> None:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in transactions(transfers):
        assert sum(posting.amount for posting in each.postings) == 0
        for posting in each.postings:
            assert posting.customer in (None, each.first.account_id)
            sums[posting.account, each.first.currency] += posting.amount
    assert {key: amount for key, amount in sums.items() if amount} == sums_of(transfers)


@settings(max_examples=SLOW_EXAMPLES // 2)
@given(random_transfers())
def test_beancount_accepts_any_transfers_and_has_the_same_balances(
    tmp_path_factory: pytest.TempPathFactory, transfers: list[PostedTransfer]
) -> None:
    file = tmp_path_factory.mktemp("random") / "books.beancount"
    file.write_bytes("".join(beancount_lines(transfers)).encode())
    check_beancount(file)
    assert dict(beancount_balances(read_beancount(file))) == sums_of(transfers)


@needs_hledger
@settings(max_examples=SLOW_EXAMPLES // 2)
@given(random_transfers())
def test_hledger_accepts_any_transfers_and_has_the_same_balances(
    tmp_path_factory: pytest.TempPathFactory, transfers: list[PostedTransfer]
) -> None:
    file = tmp_path_factory.mktemp("random") / "books.journal"
    file.write_bytes("".join(hledger_lines(transfers)).encode())
    check_hledger(file)
    assert dict(hledger_balances(file)) == sums_of(transfers)
