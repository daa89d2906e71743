"""The figures of the console are those that the commands print, and the charts draw them."""

import json
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing.catalog.packages import Package
from billing.periods import day_bounds
from billing.rating.balances import PackageBalance
from billing.reports.burn_down import paying_order
from billing.reports.usage_day import DayFacts
from billing.reports.usage_heat import HALF_HOURS, HeatDay
from billing.web.console.bar_chart import Bar, bar_chart
from billing.web.console.heat_chart import STEPS, heat_chart, step
from billing.web.console.line_chart import burn_chart, sparkline
from billing.web.console.number_formats import NOTHING, clock, count, decimals, exact, instant, money, percent, signed
from tests.web.browsing import logged_in, text_of
from tests.web.site import Site


def rows(site: Site, line: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(site.commands(f"{line} --format json").stdout)
    return found


def test_the_month_is_the_sum_of_its_charges(console: Site) -> None:
    charges = rows(console, "charges academy --month 2026-03 --provisional")
    settled = sum((Decimal(row["amount"]) for row in charges if row["settled"]), Decimal(0))
    provisional = sum((Decimal(row["amount"]) for row in charges if not row["settled"]), Decimal(0))
    corrected = sum((Decimal(row["amount"]) for row in charges if row["kind"] == "correction"), Decimal(0))
    assert corrected
    assert provisional
    text = text_of(logged_in(console).get("/console/month?account=academy&month=2026-03"))
    spend, minutes = settled + provisional, sum(row["minutes"] for row in charges if row["settled"])
    for expected in (
        f"Spend {money(spend, 'USD')} USD {money(settled, 'USD')} settled, {money(provisional, 'USD')} provisional",
        f"Minutes {count(minutes)} min settled through 2026-03-21",
        f"Provisional {percent(provisional / spend)}",
        f"Corrections {money(corrected, 'USD')} USD",
    ):
        assert expected in text
    assert text.rstrip().split("Total ")[1].split()[0] == count(minutes)


def test_the_month_before_is_compared_by_the_same_days(console: Site) -> None:
    """February begins on the 24th: of the days 1 to 21, through which March is settled, it has nothing."""
    text = text_of(logged_in(console).get("/console/month?account=academy&month=2026-03"))
    assert f"Against the month before {NOTHING} 0.00 USD in the same days" in text
    february = rows(console, "charges academy --month 2026-02")
    total = money(sum((Decimal(row["amount"]) for row in february), Decimal(0)), "USD")
    assert f"Spend {total} USD" in text_of(logged_in(console).get("/console/month?account=academy&month=2026-02"))


def test_usage_sums_what_is_settled_corrected_and_provisional(console: Site) -> None:
    client = logged_in(console)
    page = client.get("/console/usage?account=academy&app=1400000001&from=2026-03-10&to=2026-03-22")
    found = rows(console, "usage 1400000001 --from 2026-03-10 --to 2026-03-22 --by day --provisional")
    sums = {"usage": 0, "correction": 0, "provisional": 0}
    for row in found:
        sums[row["kind"] if row["settled"] else "provisional"] += row["seconds"]
    assert all(sums.values())
    net = sum(sums.values())
    figures = (count(sums["usage"]), signed(sums["correction"]), count(sums["provisional"]), count(net), clock(net))
    assert f"Total {' '.join(figures)}" in text_of(page)


def test_usage_as_of_an_earlier_run_has_no_later_correction(console: Site) -> None:
    client = logged_in(console)
    (settling,) = {
        row["run"]
        for row in rows(console, "usage 1400000001 --from 2026-03-12 --to 2026-03-12")
        if row["kind"] == "usage"
    }
    address = "/console/usage?account=academy&app=1400000001&day=2026-03-12"
    now, then = text_of(client.get(address)), text_of(client.get(f"{address}&run={settling}"))
    known = rows(console, f"usage 1400000001 --from 2026-03-12 --to 2026-03-12 --run {settling}")
    assert f"Total {count(sum(row['seconds'] for row in known))}" in then
    assert f"what was known when run {settling} had ended" in then
    assert now != then


def test_the_heat_map_has_every_second_of_the_month(console: Site) -> None:
    page = logged_in(console).get("/console/usage?account=academy&app=1400000001&month=2026-03").text
    drawn = re.findall(r"<title>2026-03-(\d\d) \d\d:\d\d: (\d+):(\d\d):(\d\d)</title>", page)
    found = rows(console, "usage 1400000001 --from 2026-03-01 --to 2026-03-31 --by day")
    assert sum(int(h) * 3600 + int(m) * 60 + int(s) for _, h, m, s in drawn) == sum(row["seconds"] for row in found)
    assert {f"2026-03-{day}" for day, *_ in drawn} == {row["day"] for row in found}


def test_packages_show_what_the_command_shows_and_when_they_run_out(console: Site) -> None:
    text = text_of(logged_in(console).get("/console/packages?account=academy"))
    for row in rows(console, "packages academy"):
        if row["remaining"]:
            assert f"{count(row['remaining'])} of {count(row['granted'])} package minutes left" in text
    (lectures,) = (row for row in rows(console, "packages academy") if row["id"] == "lectures-year")
    burnt: dict[str, int] = {}
    ratios = {"audio": 1, "hd": 4, "fhd": 9, "2k": 16, "4k": 36}
    for row in rows(console, "charges academy --month 2026-03"):
        for payer, minutes in row["deducted_by"].items():
            if payer == "lectures-year" and row["day"] >= "2026-03-15":
                burnt[row["day"]] = burnt.get(row["day"], 0) + minutes * ratios[row["item"]]
    pace = -(-sum(burnt.values()) // 7)
    runs_out = date(2026, 3, 21) + timedelta(days=-(-lectures["remaining"] // pace))
    assert f"Pace {count(pace)} a day Runs out {runs_out} Last day 2027-02-28" in text


def test_packages_pay_in_the_order_of_the_rules() -> None:
    """Free minutes, those of an app, those of the account; the earliest end, the earliest purchase, the id."""
    day = date(2026, 3, 21)

    def balance(name: str, app: int | None = None, until: date = date(2026, 12, 31), left: int = 1) -> PackageBalance:
        return PackageBalance(id=name, app_id=app, valid_from=date(2026, 3, 1), valid_to=until, granted=left)

    balances = [
        balance("whole-late"),
        balance("whole-early", until=date(2026, 6, 30)),
        balance("app", 1, date(2027, 1, 1)),
        balance("free-2026-03", until=date(2026, 3, 31)),
        balance("used-up", left=0),
        balance("ended", until=day),
        balance("bought-first"),
    ]
    bought = {
        each.id: Package(
            id=each.id,
            account="a",
            minutes=1,
            purchased_at=_at("2026-02-01" if each.id == "bought-first" else "2026-03-01"),
        )
        for each in balances
        if each.id != "free-2026-03"
    }
    order = [each.id for each in paying_order(balances, bought, day)]
    assert order == ["free-2026-03", "app", "whole-early", "bought-first", "whole-late"]


def _at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def test_the_overview_says_what_needs_doing(console: Site) -> None:
    text = text_of(logged_in(console).get("/console"))
    for reason in ("not JSON", "wrong value", "time without offset", "unknown app"):
        assert reason in text
    assert "the balance is" not in text  # what is open is not due yet


@pytest.mark.parametrize(
    ("zone", "day", "windows"),
    [("Asia/Tokyo", "2026-03-29", 288), ("Europe/Berlin", "2026-03-29", 276), ("Europe/Berlin", "2026-10-25", 300)],
)
def test_a_day_has_as_many_windows_as_its_clock_says(zone: str, day: str, windows: int) -> None:
    start, end = day_bounds(date.fromisoformat(day), ZoneInfo(zone))
    facts = DayFacts(day=date.fromisoformat(day), start=start, end=end, run=None, settled_through=None, runs=())
    assert facts.windows == windows


def test_bars_are_as_high_as_their_parts() -> None:
    bars = [
        Bar(title="a & b", parts=(("audio", 30), ("hd", 60))),
        Bar(title="b", parts=(("audio", 45),)),
        Bar(title="", parts=()),
    ]
    drawn = bar_chart(bars, [], label="<chart>", top_label="90 s")
    heights = [float(height) for height in re.findall(r'height="([\d.]+)" class="fill-', drawn)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.02)
    assert heights[2] == pytest.approx((heights[0] + heights[1]) / 2, abs=0.02)
    assert "a &amp; b" in drawn
    assert 'aria-label="&lt;chart&gt;"' in drawn
    assert drawn.count("<g>") == 2  # nothing is drawn for nothing


def test_reasons_and_what_is_provisional_are_hatched() -> None:
    parts = (
        ("no_video_received", 1),
        ("alone_in_room", 1),
        ("disconnect_grace", 1),
        ("camera", 1),
        ("screen_share", 1),
    )
    drawn = bar_chart([Bar(title="", parts=parts, is_provisional=True)], [], label="", top_label="")
    used = re.findall(r'fill="url\(#([a-z_-]+)\)"', drawn)
    assert sorted(used) == sorted(
        ["h-no_video_received", "h-alone_in_room", "h-disconnect_grace", "h-screen_share", "h-provisional"]
    )
    assert all(f'id="{name}"' in drawn for name in used)


def test_a_heat_map_draws_what_there_is_larger_and_darker_the_more_it_is() -> None:
    seconds = [0] * HALF_HOURS
    seconds[20], seconds[21] = 100, 25
    drawn = heat_chart(
        [HeatDay(day=date(2026, 3, 2), is_settled=True, seconds=tuple(seconds))],
        label="",
        day_text=lambda _: "02",
        cell_text=lambda _, half: str(half),
        href=lambda _: "/console",
    )
    cells = re.findall(r'width="([\d.]+)%" y="[\d.]+" height="([\d.]+)" rx="1.5" class="heat-(\d)"', drawn)
    assert [cell[2] for cell in cells] == ["5", "2"]
    assert float(cells[0][0]) == pytest.approx(2 * float(cells[1][0]), rel=0.01)
    assert [step(value, 100) for value in (0, 1, 50, 100)] == [0, 1, 3, STEPS]


def test_lines_end_where_the_figures_do() -> None:
    drawn = burn_chart([(0, 1), (0.5, 0.25)], [(0.5, 0.25), (0.75, 0)], today=0.5, label="left")
    assert 'points="0.0,2.0 500.0,71.0"' in drawn
    assert 'class="burn-line projected"' in drawn
    assert sparkline([Decimal(2), Decimal(1)], places=31, provisional=1, label="").count('class="spark open"') == 1


def test_numbers_are_written_for_reading() -> None:
    assert [count(1234567), count(-3), count(None), signed(3), signed(-3), signed(Decimal("-0.5"))] == [
        *("1,234,567", "−3", "–", "+3", "−3", "−0.5"),  # noqa: RUF001
    ]
    assert [money(Decimal("4.135"), "USD"), money(Decimal("-1234.5"), "JPY"), exact(Decimal("-0.00399"))] == [
        *("4.14", "−1,235", "−0.00399"),  # noqa: RUF001
    ]
    assert exact(Decimal("4.10"), decimals([Decimal("1.234"), None, Decimal(2)])) == "4.100"
    assert [clock(3725), clock(-60), percent(Decimal("0.125"))] == ["1:02:05", "−0:01:00", "12.5 %"]  # noqa: RUF001
    assert instant("2026-03-12T10:07:30.250+09:00") == "2026-03-12 10:07:30 +09:00"
    assert instant("2026-03-12T10:07:30Z") == "2026-03-12 10:07:30 UTC"
