"""The first page of a document: what it says in three languages, ten lines at most, and figures that add up."""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.taxes import Tax, TaxVersion
from billing.invoicing.documents import Document, DocumentLine, turned
from billing.invoicing.page import Page, apportioned, make_page, page_from_table, page_table
from billing.invoicing.words import LANGUAGES, WORDS, days_in_words
from billing.money import minor_digits
from tests.document_facts import (
    CN_6,
    DE_19,
    JP_10,
    ROOMS_CN,
    ROOMS_JP,
    credit_of,
    customer,
    document_of,
    document_with,
    month_of_three_apps,
    tax,
    usage_line,
)


def facts(page: Page) -> dict[str, str]:
    return {fact.label: fact.value for fact in page.facts}


def texts(page: Page) -> list[str]:
    return [line.text for line in page.lines]


def package_line(line: int, amount: str, name: str = "pkg-1") -> DocumentLine:
    return DocumentLine(
        line=line,
        kind="package",
        package=name,
        first_day=date(2026, 3, 1),
        last_day=date(2027, 2, 28),
        list_amount=Decimal(amount),
        amount=Decimal(amount),
    )


def assert_adds_up(page: Page) -> None:
    """A reader who adds what is printed gets what is printed."""
    lines = sum(line.amount for line in page.lines)
    added = [each.amount for each in page.sums if each.is_added]
    (total,) = [each.amount for each in page.sums if each.is_total]
    assert lines == (added[0] if added else total)
    assert sum(added) == total or not added
    printed = [*(line.amount for line in page.lines), *(each.amount for each in page.sums)]
    assert all(amount == round(amount, page.digits) for amount in printed)


def test_the_worked_example_is_printed_in_japanese() -> None:
    document = document_of(month_of_three_apps(), JP_10, language="ja", seller=ROOMS_JP, customer=customer(tax_id=None))
    page = make_page(document)
    assert page.title == "適格請求書"
    assert page.due.value == "JPY 2,372"
    assert facts(page)["ご利用期間"] == "2026年3月1日～31日(Asia/Tokyo)"
    assert facts(page)["お支払期限"] == "2026年4月30日"
    assert "登録番号：T1180301018771" in page.seller
    assert page.customer[0] == "Acme K.K. 御中"
    assert [(line.text, line.minutes, line.deducted_minutes, line.price, line.amount) for line in page.lines] == [
        ("HDビデオ：Classroom", 1751, 0, 600, 1050),
        ("音声：Lobby", 4051, 3000, 150, 158),
        ("フルHDビデオ：Studio", 703, 0, 1350, 949),
    ]
    assert [(each.label, each.amount) for each in page.sums] == [
        ("小計", 2157),
        ("消費税 10%（対象額 2,157）", 215),
        ("合計（税込） JPY", 2372),
    ]
    assert any("2,157.3" in note and "-0.3" in note for note in page.notes)


def test_the_page_in_english_names_period_tax_and_terms() -> None:
    page = make_page(document_of(month_of_three_apps(currency="EUR"), DE_19))
    assert page.title == "Invoice"
    assert facts(page) == {
        "Number": "EA-2026-000001",
        "Date of issue": "1 April 2026",
        "Due date": "30 April 2026",
        "Period": "1–31 March 2026 (Asia/Tokyo)",
        "Account": "acme",
        "Currency": "EUR",
    }
    assert texts(page) == ["HD video, Classroom", "Audio, Lobby", "Full HD video, Studio"]
    assert [line.amount for line in page.lines] == [Decimal("1050.60"), Decimal("157.65"), Decimal("949.05")]
    assert [(each.label, each.amount) for each in page.sums] == [
        ("Subtotal", Decimal("2157.30")),
        ("VAT 19 % on 2,157.30", Decimal("409.89")),
        ("Total including tax EUR", Decimal("2567.19")),
    ]
    assert page.seller == ("Rooms GmbH", "Torstrasse 1", "10119 Berlin", "DE", "VAT ID: DE136695976")
    assert page.bank[1] == "IBAN DE89 3704 0044 0532 0130 00"
    assert page.notes[0] == "Please pay EUR 2,567.19 by 30 April 2026, stating EA-2026-000001."
    assert page.notes[-1] == "Day by day in the annex."


def test_a_tax_that_the_prices_include_stands_below_the_total_it_is_part_of() -> None:
    page = make_page(document_of(month_of_three_apps(currency="CNY"), CN_6, language="zh", seller=ROOMS_CN))
    assert page.title == "账单"
    assert [(each.label, each.amount, each.is_added, each.is_total) for each in page.sums] == [
        ("合计（含税） CNY", Decimal("2157.30"), False, True),
        ("其中：增值税 6%（不含税金额 2,035.19）", Decimal("122.11"), False, False),
    ]
    assert_adds_up(page)


def test_a_chinese_page_claims_to_be_a_fapiao_nowhere() -> None:
    page = make_page(document_of(month_of_three_apps(currency="CNY"), CN_6, language="zh", seller=ROOMS_CN))
    printed = json.dumps(page_table(replace(page, notes=page.notes[:-1])), ensure_ascii=False)
    assert "发票" not in printed
    assert page.notes[-1].startswith("本账单不是发票")


@pytest.mark.parametrize(("language", "title"), [("en", "Credit note"), ("ja", "返還請求書"), ("zh", "贷项通知单")])
def test_a_credit_note_names_what_it_credits_and_why(language: str, title: str) -> None:
    document = credit_of(document_of(month_of_three_apps(), DE_19, language=language), 2)
    page = make_page(document)
    assert page.title == title
    assert page.due.value == "JPY 188"
    assert {"EA-2026-000001", "Recording was unusable"} <= set(facts(page).values())
    assert page.bank == ()
    assert len(page.lines) == 1
    assert page.lines[0].amount == 158
    assert_adds_up(page)


def test_a_part_that_is_credited_has_the_amount_alone() -> None:
    part = usage_line(1, "5.25", unit_price=None, minutes=0, payable_minutes=0, credits_line=2)
    line = make_page(replace(document_with([part]), kind="credit_note", credits="EA-2026-000001")).lines[0]
    assert (line.text, line.minutes, line.price) == ("Audio, One, part of line 2", None, None)


def test_a_draft_has_its_mark_and_no_number() -> None:
    page = make_page(document_of(month_of_three_apps(), DE_19, number=None))
    assert page.draft_mark == "Draft"
    assert "Number" not in facts(page)
    assert page.bank == ()
    assert page.notes[0].startswith("This is a draft.")


def test_what_the_contract_took_off_is_no_part_of_the_sums() -> None:
    page = make_page(document_of(month_of_three_apps(discount=Decimal("0.9"), currency="EUR"), DE_19))
    assert (page.sums[-1].label, page.sums[-1].amount) == (
        "Contract discount, in the prices",
        Decimal("-215.73"),
    )
    assert page.lines[0].price == 540
    assert_adds_up(page)


def test_reverse_charge_is_said_where_the_customer_owes_the_tax() -> None:
    shifted = tax("0", "VAT 0 % (reverse charge)", "de-ae", category="AE")
    page = make_page(document_of(month_of_three_apps(currency="EUR"), shifted))
    assert "Reverse charge: the customer is liable for the VAT." in page.notes
    assert page.sums[1].label == "VAT 0 % (reverse charge) on 2,157.30"


def test_without_tax_the_total_is_the_only_sum() -> None:
    page = make_page(document_of(month_of_three_apps(currency="USD")))
    assert [(each.label, each.amount) for each in page.sums] == [("Total USD", Decimal("2157.30"))]


def test_packages_and_refunds_have_no_minutes() -> None:
    refund = replace(package_line(2, "-28.80"), kind="refund", last_day=date(2026, 3, 1))
    page = make_page(document_with([package_line(1, "227"), refund]))
    assert [(line.text, line.minutes, line.amount) for line in page.lines] == [
        ("Minute package pkg-1 (1 March 2026 – 28 February 2027)", None, Decimal("227.00")),
        ("Refund of package pkg-1 (1 March 2026)", None, Decimal("-28.80")),
    ]


def test_two_prices_of_a_month_are_told_apart_by_their_days() -> None:
    lines = [
        usage_line(1, "1", last_day=date(2026, 3, 14)),
        usage_line(2, "2", first_day=date(2026, 3, 15), unit_price=Decimal("0.002")),
    ]
    assert texts(make_page(document_with(lines))) == [
        "Audio, One (1–14 March 2026)",
        "Audio, One (15–31 March 2026)",
    ]


def test_two_rates_of_a_month_stand_on_lines_of_their_own() -> None:
    first, second = date(2026, 1, 1), date(2026, 3, 15)
    versions = [
        TaxVersion(valid_from=day, category="S", rate=Decimal(rate), text=f"VAT {rate} %")
        for day, rate in ((first, "8"), (second, "10"))
    ]
    lines = [usage_line(1, "1", tax="vat", tax_from=first), usage_line(2, "2", app_id=2, tax="vat", tax_from=second)]
    page = make_page(document_with(lines, [Tax(id="vat", versions=tuple(versions))]))
    assert texts(page) == ["Audio, One [VAT 8 %]", "Audio, One [VAT 10 %]"]
    assert [each.label for each in page.sums[1:3]] == ["VAT 8 % on 1.00", "VAT 10 % on 2.00"]


def many_lines(apps: int, items: tuple[str, ...], prices: int) -> list[DocumentLine]:
    """Lines of usage by app, item and price, the first the smallest."""
    return [
        usage_line(0, f"{1 + number}.5", app_id=app, app_name=f"App {app}", item=item, unit_price=Decimal(price))
        for number, (app, item, price) in enumerate(
            (app, item, price) for app in range(1, apps + 1) for item in items for price in range(1, prices + 1)
        )
    ]


def corrections(apps: int) -> list[DocumentLine]:
    return [usage_line(0, "-1", kind="correction", app_id=app, app_name=f"App {app}") for app in range(1, apps + 1)]


def test_lines_at_several_prices_fold_by_app_and_item() -> None:
    page = make_page(document_with(many_lines(apps=3, items=("audio", "hd"), prices=2)))
    assert texts(page) == [f"{item}, App {app}" for app in (1, 2, 3) for item in ("Audio", "HD video")]
    assert page.lines[0].price is None
    assert (page.lines[0].minutes, page.lines[0].amount) == (2000, Decimal("4.00"))
    assert "Summed up here; the annex has it line by line (12 lines)." in page.notes


def test_corrections_are_one_line_per_app_and_one_in_all_where_there_is_no_room() -> None:
    few = make_page(document_with([*many_lines(3, ("audio", "hd"), 1), *corrections(3)]))
    assert texts(few)[-3:] == [f"Corrections of earlier days, App {app}" for app in (1, 2, 3)]
    many = make_page(document_with([*many_lines(4, ("audio", "hd"), 1), *corrections(4)]))
    assert texts(many)[-1] == "Corrections of earlier days, 4 apps"
    assert many.lines[-1].amount == -4


def test_many_apps_fold_by_item() -> None:
    page = make_page(document_with(many_lines(12, ("audio", "hd"), 1)))
    assert texts(page) == ["Audio, 12 apps", "HD video, 12 apps"]


def test_the_smallest_usage_becomes_other_usage_where_ten_lines_are_not_enough() -> None:
    items = ("audio", "sd", "hd", "fhd", "2k", "4k")
    others = [
        replace(package_line(0, "10"), kind=kind) for kind in ("package", "service", "fee", "refund", "discount") * 2
    ]
    page = make_page(document_with([*many_lines(2, items, 1), *corrections(2), *others]))
    assert len(page.lines) == 10
    assert texts(page)[:4] == ["Full HD video, 2 apps", "2K video, 2 apps", "4K video, 2 apps", "Other usage"]
    assert page.lines[3].amount == Decimal("33.00")  # 1.5 + 7.5, 2.5 + 8.5 and 3.5 + 9.5
    assert_adds_up(page)


def test_ten_lines_are_not_folded() -> None:
    page = make_page(document_with(many_lines(5, ("audio", "hd"), 1)))
    assert len(page.lines) == 10
    assert texts(page)[-1] == "HD video, App 5"


def test_every_text_is_there_in_every_language_with_the_same_facts() -> None:
    for key, in_languages in WORDS.items():
        assert len(in_languages) == len(LANGUAGES)
        assert all(in_languages), key
        names = [{name for _, name, _, _ in Formatter().parse(text) if name} for text in in_languages]
        assert names[0] == names[1] == names[2], key


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2026-03-01", "2026-03-31", ("1–31 March 2026", "2026年3月1日～31日", "2026年3月1日至31日")),
        ("2026-03-01", "2026-03-01", ("1 March 2026", "2026年3月1日", "2026年3月1日")),
        (
            "2026-03-30",
            "2026-04-02",
            ("30 March – 2 April 2026", "2026年3月30日～4月2日", "2026年3月30日至4月2日"),
        ),
        (
            "2026-03-01",
            "2027-02-28",
            ("1 March 2026 – 28 February 2027", "2026年3月1日～2027年2月28日", "2026年3月1日至2027年2月28日"),
        ),
    ],
)
def test_days_are_written_as_the_language_writes_them(first: str, last: str, expected: tuple[str, ...]) -> None:
    days = date.fromisoformat(first), date.fromisoformat(last)
    assert tuple(days_in_words(*days, language) for language in LANGUAGES) == expected


def test_a_page_is_the_same_after_it_was_stored() -> None:
    page = make_page(document_of(month_of_three_apps(), JP_10, language="ja", seller=ROOMS_JP))
    assert page_from_table(json.loads(json.dumps(page_table(page)))) == page
    with pytest.raises(ValueError, match="title"):
        page_from_table({key: value for key, value in page_table(page).items() if key != "title"})


amounts = st.integers(-(10**12), 10**12).map(lambda scaled: Decimal(scaled).scaleb(-8))


@given(exact=st.lists(amounts, min_size=1, max_size=12), digits=st.sampled_from([0, 2, 3]))
def test_apportioned_amounts_add_up_and_none_is_a_whole_unit_off(exact: list[Decimal], digits: int) -> None:
    total = round(sum(exact, Decimal(0)), digits)
    unit = Decimal(1).scaleb(-digits)
    printed = apportioned(exact, total, digits)
    assert sum(printed) == total
    for amount, shown in zip(exact, printed, strict=True):
        assert abs(shown - amount) < unit
        assert shown == round(shown, digits)
        assert shown == amount or amount != round(amount, digits)


_LINES = st.lists(
    st.builds(
        lambda kind, app, item, price, payable, deducted: DocumentLine(
            line=0,
            kind=kind,
            app_id=app,
            app_name=f"App {app}",
            item=item,
            minutes=payable + deducted,
            deducted_minutes=deducted,
            payable_minutes=payable,
            first_day=date(2026, 3, 1),
            last_day=date(2026, 3, 31),
            unit_price=price,
            list_amount=payable * price,
            amount=payable * price,
        ),
        st.sampled_from(["usage", "usage", "usage", "correction"]),
        st.integers(1, 6),
        st.sampled_from(["audio", "hd", "fhd", "2k", "4k"]),
        st.integers(0, 10**6).map(lambda scaled: Decimal(scaled).scaleb(-8)),
        st.integers(-(10**6), 10**6),
        st.integers(0, 10**4),
    ),
    min_size=1,
    max_size=40,
)


@given(
    lines=_LINES,
    currency=st.sampled_from(["JPY", "EUR", "KWD"]),
    rate=st.sampled_from(["0", "6", "10", "19", "20"]),
    prices=st.sampled_from(["exclusive", "inclusive", None]),
    language=st.sampled_from(LANGUAGES),
    is_turned=st.booleans(),
)
def test_the_printed_figures_of_any_document_add_up(
    lines: list[DocumentLine], currency: str, rate: str, prices: str | None, language: str, is_turned: bool
) -> None:
    """And its lines are all there: no minute and no part of an amount is lost by folding."""
    taxes = [] if prices is None else [tax(rate, f"VAT {rate} %", "vat", prices=prices, rounding="down")]
    taxed = [replace(line, tax="vat", tax_from=date(2019, 10, 1)) for line in lines] if taxes else lines
    document: Document = document_with(taxed, taxes, currency=currency, language=language)
    page = make_page(turned(document) if is_turned else document)
    assert_adds_up(page)
    assert 1 <= len(page.lines) <= 10
    assert page.digits == minor_digits(currency)
    assert abs(sum(line.minutes or 0 for line in page.lines)) == abs(sum(line.minutes for line in lines))
    assert page_from_table(page_table(page)) == page
