"""The sheets of an invoice as values."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from billing.catalog.items import WindowUsage
from billing.invoicing.annex import Annex, DayDetail, ReasonSeconds
from billing.invoicing.workbook.sheets import REASONS, sheets
from billing.invoicing.workbook.table import Cell, Formula, Row, Sheet
from tests.invoice_facts import CORRECTIONS, Month, corrected, without_first

DAY = date(2026, 3, 2)
APPS = {1: "One", 2: "Two"}
USAGE = [
    (1, DAY, 0, "audio", 30),
    (1, DAY, 300, "audio", 20),
    (1, DAY, 600, "audio", 40),
    (1, DAY, 600, "hd", 61),
    (2, DAY, 600, "2k", 300),
    (2, DAY + timedelta(days=1), 0, "hd", 59),
]


def month(**other: object) -> Month:
    return Month(windows=USAGE, granted={"free-2026-03": 10}, apps=APPS, **other)  # type: ignore[arg-type]


def sheet_of(annex: Annex, name: str, row_limit: int = 1_048_576) -> Sheet:
    return next(sheet for sheet in sheets(annex, row_limit=row_limit) if sheet.name == name)


def plain_rows(rows: Sequence[Row]) -> list[list[object]]:
    """The values of rows: results for formulas, no styles."""

    def plain(value: object) -> object:
        if isinstance(value, Cell):
            return plain(value.value)
        return value.result if isinstance(value, Formula) else value

    return [[plain(value) for value in row] for row in rows]


def column(sheet: Sheet, header: str) -> list[object]:
    place = [column.header for column in sheet.columns].index(header)
    return [row[place] for row in plain_rows(list(sheet.rows()))]


def verdict(annex: Annex) -> object:
    return plain_rows(sheet_of(annex, "Checks").head)[1][2]


def test_the_sheets_come_in_the_order_from_the_total_to_the_detail() -> None:
    assert [sheet.name for sheet in sheets(month().annex())] == [
        "Invoice",
        "Minutes",
        "Daily",
        "5-minute",
        "Deductions",
        "Packages",
        "Reasons",
        "Reasons by day",
        "Prices",
        "Checks",
    ]


def corrected_month() -> Annex:
    annex = Month(windows=USAGE, granted={"free-2026-03": 10, "pkg-1": 100}, apps={**APPS, 3: "Three"}).annex()
    return corrected(annex, *CORRECTIONS)


@pytest.mark.parametrize("annex", [month().annex(), corrected_month()], ids=["usage", "corrections"])
def test_every_row_of_every_table_begins_with_account_month_and_app(annex: Annex) -> None:
    for sheet in sheets(annex):
        assert [column.header for column in sheet.columns[:3]] == ["Account", "Month", "App"]
        rows = plain_rows(list(sheet.rows()))
        assert len(rows) == sheet.row_count
        assert {tuple(row[:2]) for row in rows} == {("acme", "2026-03")}
        assert {row[2] for row in rows} <= {1, 2, 3, "all apps"}


def test_daily_and_5_minute_have_a_column_for_each_item_in_seconds() -> None:
    annex = month().annex()
    assert plain_rows(list(sheet_of(annex, "Daily").rows())) == [
        ["acme", "2026-03", 1, DAY, 90, 61, 0, 0, 0, 151],
        ["acme", "2026-03", 2, DAY, 0, 0, 0, 300, 0, 300],
        ["acme", "2026-03", 2, DAY + timedelta(days=1), 0, 59, 0, 0, 0, 59],
    ]
    windows = sheet_of(annex, "5-minute")
    assert plain_rows(list(windows.rows()))[2] == [
        "acme",
        "2026-03",
        1,
        DAY,
        "2026-03-02T00:10:00+09:00",
        40,
        61,
        0,
        0,
        0,
        101,
    ]
    assert plain_rows(windows.foot)[0][5:] == [90, 120, 0, 300, 0, 510]


def test_deductions_name_window_item_minutes_and_package() -> None:
    assert plain_rows(list(sheet_of(month().annex(), "Deductions").rows())) == [
        ["acme", "2026-03", 1, DAY, "2026-03-02T00:00:00+09:00", "audio", 1, 1, "free-2026-03"],
        ["acme", "2026-03", 1, DAY, "2026-03-02T00:10:00+09:00", "audio", 1, 1, "free-2026-03"],
        ["acme", "2026-03", 1, DAY, "2026-03-02T00:10:00+09:00", "hd", 2, 8, "free-2026-03"],
    ]


def test_the_hour_that_exists_twice_has_windows_that_can_be_told_apart() -> None:
    """2026-10-25 in Berlin, 02:00 summer time and 02:00 winter time."""
    day = date(2026, 10, 25)
    annex = Month(
        windows=[(1, day, 7200, "audio", 60), (1, day, 10800, "audio", 60)],
        month=date(2026, 10, 1),
        timezone="Europe/Berlin",
        apps=APPS,
    ).annex()
    assert column(sheet_of(annex, "5-minute"), "Window start") == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]
    period = next(row for row in plain_rows(sheet_of(annex, "Invoice").head) if row[:1] == ["Period"])
    assert period[2] == "2026-10-01T00:00:00+02:00 to 2026-11-01T00:00:00+01:00, the end not included"


def test_a_table_that_does_not_fit_goes_on_on_a_further_sheet_and_the_formulas_cover_all() -> None:
    """100 windows on sheets of at most 60 rows."""
    annex = Month(windows=[(1, DAY, 300 * n, "hd", 60 + n) for n in range(100)], apps=APPS).annex()
    pages = sheets(annex, row_limit=60)
    parts = [page for page in pages if page.name.startswith("5-minute")]
    assert [part.name for part in parts] == ["5-minute", "5-minute (2)"]
    assert all(page.last_row + len(page.foot) <= 60 for page in pages)
    assert sum(part.row_count for part in parts) == 100
    assert parts[0].foot == ()
    total = parts[1].foot[0][6]
    assert isinstance(total, Cell)
    assert total.value == Formula("SUM('5-minute'!$G$2:$G$51,'5-minute (2)'!$G$2:$G$51)", sum(range(60, 160)))
    assert verdict(annex) == "PASS"


def test_the_total_is_a_live_formula_over_lines_and_rounding() -> None:
    annex = month(discount=Decimal("0.85")).annex()
    invoice = annex.invoice
    front = sheet_of(annex, "Invoice")
    subtotal, rounding, total = (row[-1] for row in front.foot[:3])
    first, last = front.header_row + 1, front.last_row
    assert isinstance(subtotal, Cell)
    assert isinstance(rounding, Cell)
    assert isinstance(total, Cell)
    assert subtotal.value == Formula(f"SUM('Invoice'!$P${first}:$P${last})", invoice.totals.subtotal)
    assert rounding.value == invoice.totals.rounding
    assert total.value == Formula(
        f"ROUND(SUM('Invoice'!$P${first}:$P${last})+'Invoice'!$P${last + 2},2)", invoice.totals.total
    )


def test_all_checks_pass_on_facts_that_agree() -> None:
    annex = month(discount=Decimal("0.85")).annex()
    assert set(column(sheet_of(annex, "Checks"), "Result")) == {"PASS"}
    assert verdict(annex) == "PASS"
    assert plain_rows(sheet_of(annex, "Invoice").head)[0][-1] == "PASS"


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("usage", "5-minute seconds = daily seconds"),
        ("reasons", "seconds by reason = 5-minute seconds"),
        ("deductions", "minutes of the deductions = invoice deducted minutes"),
        ("packages", "package minutes of all deductions = of all packages"),
    ],
)
def test_a_row_that_is_missing_fails_the_checks(rows: str, what: str) -> None:
    annex = month().annex()
    fewer = replace(annex, packages=annex.packages[1:])
    annex = fewer if rows == "packages" else without_first(annex, "settled", rows)
    checks = sheet_of(annex, "Checks")
    failed = {
        check
        for check, result in zip(column(checks, "Check"), column(checks, "Result"), strict=True)
        if result == "FAIL"
    }
    assert what in failed
    assert verdict(annex) == "FAIL"
    assert plain_rows(sheet_of(annex, "Invoice").head)[0][-1] == "FAIL"


def test_a_month_without_usage_has_a_total_of_zero_and_passes() -> None:
    annex = Month(windows=[], days=[], apps=APPS).annex()
    assert plain_rows(sheet_of(annex, "Invoice").foot)[2][-1] == 0
    assert verdict(annex) == "PASS"
    assert plain_rows(sheet_of(annex, "Invoice").head)[1] == [
        "A draft has no number. No day of the month is billed yet."
    ]


def test_an_unfinished_month_says_through_which_day_it_is_billed() -> None:
    annex = month(days=[DAY, DAY + timedelta(days=1)]).annex()
    assert plain_rows(sheet_of(annex, "Invoice").head)[1] == [
        "A draft has no number. Billed through 2026-03-03: the month is not finished."
    ]


def test_the_reasons_answer_in_words_and_shares() -> None:
    annex = month().annex()
    reasons = [
        ReasonSeconds(1, "audio", "disconnect_grace", 30),
        ReasonSeconds(1, "audio", "no_video_received", 60),
        ReasonSeconds(1, "hd", "screen_share", 61),
    ]
    page = sheet_of(replace(annex, settled=[replace(annex.settled[0], reasons=reasons)]), "Reasons")
    assert column(page, "Reason") == ["disconnect_grace", "no_video_received", "screen_share"]
    assert column(page, "Seconds") == [30, 60, 61]
    assert column(page, "What it means") == [
        REASONS[reason] for reason in ("disconnect_grace", "no_video_received", "screen_share")
    ]
    assert sum(column(page, "Share of app")) == pytest.approx(Decimal(1))  # type: ignore[arg-type]


def test_the_minutes_of_a_day_are_those_of_its_charges_and_have_a_chart() -> None:
    page = sheet_of(month(days=[DAY, DAY + timedelta(days=1)]).annex(), "Minutes")
    assert plain_rows(list(page.rows())) == [
        ["acme", "2026-03", "all apps", DAY, 2, 2, 0, 5, 0, 9],
        ["acme", "2026-03", "all apps", DAY + timedelta(days=1), 0, 1, 0, 0, 0, 1],
    ]
    assert page.chart
    assert [page.columns[place].header for place in page.chart.series] == ["audio", "hd", "fhd", "2k", "4k"]


def test_an_app_id_of_more_digits_than_a_spreadsheet_keeps_is_text() -> None:
    """2**53 has 16 digits."""
    annex = Month(windows=[(2**53, DAY, 0, "audio", 60)], apps={2**53: "Large"}).annex()
    assert column(sheet_of(annex, "Daily"), "App") == [str(2**53)]
    assert verdict(annex) == "PASS"


def _turned(detail: DayDetail) -> DayDetail:
    return replace(detail, usage=detail.usage[::-1], reasons=detail.reasons[::-1], deductions=detail.deductions[::-1])


def test_rows_are_in_the_order_of_app_and_time_whatever_the_order_of_the_facts() -> None:
    annex = corrected_month()
    turned = replace(
        annex,
        month=replace(annex.month, charges=annex.month.charges[::-1], apps=dict(reversed(annex.month.apps.items()))),
        settled=[_turned(detail) for detail in reversed(annex.settled)],
        corrected=[_turned(detail) for detail in reversed(annex.corrected)],
    )
    for one, other in zip(sheets(annex), sheets(turned), strict=True):
        assert (one.head, list(one.rows()), one.foot) == (other.head, list(other.rows()), other.foot)


def test_usage_that_no_charge_covers_fails_the_checks() -> None:
    annex = month().annex()
    first, *others = annex.settled
    stray = replace(first, usage=[*first.usage, WindowUsage(first.usage[0].window_start, 2, "4k", 7)])
    assert verdict(replace(annex, settled=[stray, *others])) == "FAIL"


def test_what_was_corrected_has_three_sheets_between_deductions_and_packages() -> None:
    names = [sheet.name for sheet in sheets(corrected_month())]
    assert names[4:8] == ["Deductions", "Corrections", "Corrections by window", "Corrections by package"]
    assert [*names[:5], *names[8:]] == [sheet.name for sheet in sheets(month().annex())]


def test_corrections_are_told_line_by_line_with_run_and_cause() -> None:
    page, march = sheet_of(corrected_month(), "Corrections"), date(2026, 3, 20)
    assert [column.header for column in page.columns[3:]] == [
        "Day",
        "Item",
        "Seconds",
        "Minutes",
        "Deducted",
        "Payable",
        "List price per 1,000",
        "Unit price per minute",
        "Amount",
        "Run",
        "Corrects run",
        "Posted on",
        "Cause",
    ]
    rows = plain_rows(list(page.rows()))
    hd = Decimal("3.99"), Decimal("0.00399")
    assert [row[2:12] for row in rows] == [
        [1, date(2026, 2, 28), "hd", 200, 4, 2, 2, *hd, Decimal("0.00798")],
        [1, date(2026, 3, 5), "hd", 90, 2, 1, 1, *hd, Decimal("0.00399")],
        [1, date(2026, 3, 5), "hd", -30, -1, 0, -1, *hd, Decimal("-0.00399")],
        [1, date(2026, 3, 7), "audio", -120, -2, 0, -2, Decimal("0.99"), Decimal("0.00099"), Decimal("-0.00198")],
        [2, date(2026, 1, 31), "4k", 61, 2, 0, 2, Decimal("35.99"), Decimal("0.03599"), Decimal("0.07198")],
        [2, date(2026, 3, 8), "2k", 0, 0, 0, 0, Decimal("15.99"), Decimal("0.01599"), 0],
        [3, date(2026, 3, 6), "sd", 7000, 117, 0, 117, "contract", Decimal("0.00199999"), Decimal("0.23399883")],
    ]
    assert [row[12:] for row in rows] == [
        [41, 9, march, "late events"],
        [41, 12, march, "late events"],
        [57, 12, march, "=agreed on the telephone"],
        [41, 12, march, "late events"],
        [41, "none", march, "late events"],
        [41, 12, march, "late events"],
        [57, 12, march, "late events"],
    ]
    assert plain_rows(page.foot)[0][5:9] == [7201, 122, 3, 119]


def test_a_correction_can_be_followed_to_its_windows_and_to_its_packages() -> None:
    annex = corrected_month()
    assert [row[2:] for row in plain_rows(list(sheet_of(annex, "Corrections by window").rows()))] == [
        [1, date(2026, 2, 28), "2026-02-28T00:00:00+09:00", "hd", 200, 41],
        [1, date(2026, 3, 5), "2026-03-05T00:00:00+09:00", "hd", 50, 41],
        [1, date(2026, 3, 5), "2026-03-05T00:05:00+09:00", "hd", 40, 41],
        [1, date(2026, 3, 5), "2026-03-05T00:05:00+09:00", "hd", -30, 57],
        [1, date(2026, 3, 7), "2026-03-07T00:10:00+09:00", "audio", -120, 41],
        [2, date(2026, 1, 31), "2026-01-31T00:15:00+09:00", "4k", 61, 41],
        [2, date(2026, 3, 9), "2026-03-09T00:00:00+09:00", "hd", -60, 41],
        [2, date(2026, 3, 9), "2026-03-09T00:05:00+09:00", "hd", 60, 41],
        [3, date(2026, 3, 6), "2026-03-06T00:00:00+09:00", "sd", 7000, 57],
    ]
    assert [row[2:] for row in plain_rows(list(sheet_of(annex, "Corrections by package").rows()))] == [
        [1, date(2026, 2, 28), "hd", 2, 8, "free-2026-02", 41],
        [1, date(2026, 3, 5), "hd", 1, 4, "pkg-1", 41],
        [2, date(2026, 3, 8), "2k", -3, -48, "free-2026-03", 41],
        [2, date(2026, 3, 8), "2k", 3, 48, "pkg-1", 41],
    ]


def test_the_front_tells_usage_from_corrections_and_the_usage_sheets_stay_what_was_billed_first() -> None:
    usage, annex = month().annex(), corrected_month()
    front = sheet_of(annex, "Invoice")
    assert column(front, "Kind") == ["Usage"] * 4 + ["Correction"] * 5
    assert column(front, "App name")[-1] == "Three"
    assert "sheet Corrections" in str(plain_rows(front.foot)[-1][0])
    assert [header.header for header in sheet_of(usage, "Invoice").columns if header.header == "Kind"] == []
    assert column(sheet_of(annex, "Daily"), "hd") == column(sheet_of(usage, "Daily"), "hd")


def test_all_checks_pass_on_corrections_that_agree() -> None:
    checks = sheet_of(corrected_month(), "Checks")
    assert set(column(checks, "Result")) == {"PASS"}
    assert verdict(corrected_month()) == "PASS"


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("usage", "seconds of the corrections by window = seconds of the corrections"),
        ("corrections", "seconds of the corrections by window = seconds of the corrections"),
        ("corrections", "package minutes of all deductions and corrections = of all packages"),
        ("packages", "package minutes of all deductions and corrections = of all packages"),
    ],
)
def test_a_row_of_the_corrections_that_is_missing_fails_the_checks(rows: str, what: str) -> None:
    annex = corrected_month()
    if rows == "usage":
        annex = without_first(annex, "corrected", rows)
    elif rows == "packages":
        annex = replace(annex, packages=annex.packages[1:])
    else:
        first, charges = annex.month.corrections[0], annex.month.charges
        annex = replace(annex, month=replace(annex.month, charges=[each for each in charges if each is not first]))
        annex = without_first(annex, "corrected", "deductions")
    checks = sheet_of(annex, "Checks")
    assert (what, "FAIL") in zip(column(checks, "Check"), column(checks, "Result"), strict=True)
    assert verdict(annex) == "FAIL"


def test_windows_that_no_correction_covers_fail_the_checks() -> None:
    annex = corrected_month()
    annex = replace(annex, month=replace(annex.month, charges=annex.month.usage))
    assert list(sheet_of(annex, "Corrections").rows()) == [("none",)]
    assert verdict(annex) == "FAIL"


def test_a_month_with_nothing_but_a_credit_has_a_total_below_zero_and_passes() -> None:
    annex = corrected(Month(windows=[], apps=APPS).annex(), replace(CORRECTIONS[1], minutes=-1000))
    total = plain_rows(sheet_of(annex, "Invoice").foot)[4]
    assert (total[0], total[-1]) == ("Total USD, a credit", Decimal("-0.99"))
    assert verdict(annex) == "PASS"


def sums(sheet: Sheet) -> dict[object, list[object]]:
    """The rows of sums below a table, by their label, without account, month and app."""
    return {row[0]: row[3:] for row in plain_rows(sheet.foot) if len(row) > 3}


def test_the_minutes_of_the_days_are_net_of_corrections_beside_what_they_were_before() -> None:
    """Days of earlier months that were corrected in this one have rows too."""
    page = sheet_of(corrected_month(), "Minutes")
    assert [header.header for header in page.columns[4:]] == [
        "audio", "sd", "hd", "fhd", "2k", "4k", "Total", "Before corrections", "Corrections",
    ]  # fmt: skip
    rows = {row[3]: row[4:] for row in plain_rows(list(page.rows()))}
    assert rows[date(2026, 1, 31)] == [0, 0, 0, 0, 0, 2, 2, 0, 2]
    assert rows[date(2026, 2, 28)] == [0, 0, 4, 0, 0, 0, 4, 0, 4]
    assert rows[DAY] == [2, 0, 2, 0, 5, 0, 9, 9, 0]
    assert rows[date(2026, 3, 5)] == [0, 0, 1, 0, 0, 0, 1, 0, 1]
    assert rows[date(2026, 3, 7)] == [-2, 0, 0, 0, 0, 0, -2, 0, -2]
    assert len(rows) == 33
    assert sums(page) == {
        "Before corrections": [None, 2, 0, 3, 0, 5, 0, 10, None, None],
        "Corrections": [None, -2, 117, 5, 0, 0, 2, 122, None, None],
        "Net of corrections": [None, 0, 117, 8, 0, 5, 2, 132, 10, 122],
    }
    assert page.chart
    assert (page.chart.title, page.chart.has_other_months) == ("Minutes by day and item, net of corrections", True)
    assert [page.columns[place].header for place in page.chart.series] == ["audio", "sd", "hd", "fhd", "2k", "4k"]


def test_every_sheet_that_totals_states_originals_corrections_and_net() -> None:
    annex = corrected_month()
    of_items = [None, 90, 0, 120, 0, 300, 0, 510], [None, -120, 7000, 260, 0, 0, 61, 7201]
    net = [None, -30, 7000, 380, 0, 300, 61, 7711]
    daily, windows, deductions = (sums(sheet_of(annex, name)) for name in ("Daily", "5-minute", "Deductions"))
    assert daily == {"Total": of_items[0], "Corrections": of_items[1], "Net of corrections": net}
    assert {label: row[1:] for label, row in windows.items()} == daily
    assert {label: row[3:5] for label, row in deductions.items()} == {
        "Total": [10, 94],
        "Corrections": [3, 12],
        "Net of corrections": [13, 106],
    }
    for name, place in (("Reasons by day", 3), ("Reasons", 2)):
        assert [row[place] for row in sums(sheet_of(annex, name)).values()] == [510, 7201, 7711]
    front = sums(sheet_of(annex, "Invoice"))
    assert {label: row[5:9] for label, row in front.items() if label in ("Usage", "Corrections", "Subtotal")} == {
        "Usage": [510, 10, 10, 0],
        "Corrections": [7201, 122, 3, 119],
        "Subtotal": [7711, 132, 13, 119],
    }
    assert [row[-1] for row in front.values()][:3] == [0, Decimal("0.31197883"), Decimal("0.31197883")]


def failed(annex: Annex) -> set[object]:
    checks = sheet_of(annex, "Checks")
    results = zip(column(checks, "Check"), column(checks, "Result"), strict=True)
    return {check for check, result in results if result == "FAIL"}


def test_minutes_without_the_corrections_of_the_invoice_fail_the_checks() -> None:
    """What the sheet Minutes and its chart were before: the minutes that the days were settled with."""
    annex = corrected_month()
    before = replace(annex, month=replace(annex.month, charges=annex.month.usage))
    assert "minutes of the days, net of corrections, = invoice minutes" in failed(before)
    assert "daily seconds, net of corrections, = invoice seconds" in failed(before)
    assert "seconds by reason, net of corrections, = invoice seconds" in failed(before)


def test_windows_and_deductions_that_are_not_net_fail_the_checks() -> None:
    annex = corrected_month()
    assert "5-minute seconds, net of corrections, = invoice seconds" in failed(
        without_first(annex, "corrected", "usage")
    )
    fewer = without_first(annex, "settled", "deductions")
    assert "minutes of the deductions, net of corrections, = invoice deducted" in failed(fewer)


def test_a_month_without_corrections_has_one_row_of_sums() -> None:
    annex = month().annex()
    for name in ("Minutes", "Daily", "5-minute", "Deductions", "Reasons", "Reasons by day"):
        assert list(sums(sheet_of(annex, name))) == ["Total"]
    assert not any("net of corrections" in str(check) for check in column(sheet_of(annex, "Checks"), "Check"))


def test_the_reasons_say_what_was_assumed() -> None:
    said = "App One (1): users are billed as subscribed to everything published."
    annex = replace(month().annex(), assumptions=[said])
    assert plain_rows(sheet_of(annex, "Reasons").foot)[-1] == [said]
    assert said not in str(plain_rows(sheet_of(month().annex(), "Reasons").foot))


def test_the_reasons_of_a_draft_name_the_command_that_explains_the_month() -> None:
    annex = month().annex()
    header = replace(annex.invoice.header, account_id="acme; x")
    foot = plain_rows(sheet_of(replace(annex, invoice=replace(annex.invoice, header=header)), "Reasons").foot)
    (line,) = (str(row[0]) for row in foot if "billing explain" in str(row[0]))
    assert line.endswith("billing explain 'acme; x' --month 2026-03")
    assert "billing explain" not in str(plain_rows(sheet_of(replace(annex, number="INV-1"), "Reasons").foot))
