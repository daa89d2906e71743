"""A month's facts for the tests of the invoice: charges, deductions and balances that follow from its windows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from billing.invoicing.invoice import (
    BilledAccount,
    CorrectedDeduction,
    Correction,
    CorrectionWindow,
    DayCharge,
    Facts,
    ItemPrice,
    PackageBalance,
    Party,
    PolicyPrices,
    ReasonSeconds,
    WindowDeduction,
    WindowSeconds,
)
from billing.periods import day_start, month_days, time_zone

ITEMS = ("audio", "sd", "hd", "fhd", "2k", "4k")
LIST = {"audio": "0.99", "hd": "3.99", "fhd": "8.99", "2k": "15.99", "4k": "35.99"}
RATIOS = {"audio": 1, "hd": 4, "fhd": 9, "2k": 16, "4k": 36}
TOP_AREAS = {"audio": None, "hd": 921_600, "fhd": 2_073_600, "2k": 3_686_400, "4k": None}


@dataclass
class Month:
    """Windows as (app, day, seconds since the day began, item, seconds used), and each payer's package minutes."""

    windows: Sequence[tuple[int, date, int, str, int]]
    granted: Mapping[str, int] = field(default_factory=dict)
    month: date = date(2026, 3, 1)
    days: Sequence[date] | None = None
    discount: Decimal = Decimal(1)
    currency: str = "USD"
    timezone: str = "Asia/Tokyo"
    account_id: str = "acme"
    account_name: str = "Acme K.K."
    apps: Mapping[int, str] = field(default_factory=lambda: {1400000001: "Classroom"})

    def facts(self) -> Facts:
        zone = time_zone(self.timezone)
        remaining, deductions, charges = dict(self.granted), [], []
        cumulative: dict[tuple[int, date, str], list[int]] = {}
        windows = [
            WindowSeconds(app, day_start(day, zone) + start, day, item, seconds)
            for app, day, start, item, seconds in self.windows
        ]
        for app, start, day, item, seconds in sorted(windows, key=lambda row: (row[1], row[0], ITEMS.index(row[3]))):
            sums = cumulative.setdefault((app, day, item), [0, 0, 0])
            sums[0] += seconds
            due = -(-sums[0] // 60) - sums[1]
            sums[1] += due
            for payer in remaining:
                paid = min(due, remaining[payer] // RATIOS[item])
                if paid:
                    remaining[payer] -= paid * RATIOS[item]
                    due -= paid
                    sums[2] += paid
                    deductions.append(WindowDeduction(day, app, start, item, paid, paid * RATIOS[item], payer))
        for (app, day, item), (seconds, minutes, deducted) in cumulative.items():
            unit_price = Decimal(LIST[item]) / 1000 * self.discount
            charges.append(
                DayCharge(
                    day=day,
                    app_id=app,
                    item=item,
                    seconds=seconds,
                    minutes=minutes,
                    deducted_minutes=deducted,
                    payable_minutes=minutes - deducted,
                    list_price=Decimal(LIST[item]),
                    unit_price=unit_price,
                    amount=(minutes - deducted) * unit_price,
                )
            )
        days = self.days if self.days is not None else month_days(self.month)
        return Facts(
            account=BilledAccount(
                id=self.account_id,
                name=self.account_name,
                address="1-2-3 Shibuya\nTokyo 150-0002",
                currency=self.currency,
                timezone=self.timezone,
            ),
            seller=Party(name="RTC Service Ltd.", address="5 Harbour Road\nSingapore"),
            month=self.month,
            days=days,
            item_order=ITEMS,
            apps=self.apps,
            charges=charges,
            windows=windows,
            reasons=[
                ReasonSeconds(app, day, item, "alone_in_room" if item == "audio" else "camera", seconds)
                for (app, day, item), (seconds, _, _) in cumulative.items()
            ],
            deductions=deductions,
            packages=[
                PackageBalance(
                    id=payer,
                    app_id=None,
                    valid_from=datetime(2026, 2, 28, 15, tzinfo=UTC),
                    expires_at=datetime(2027, 2, 28, 15, tzinfo=UTC),
                    granted=granted,
                    deducted=granted - remaining[payer],
                    lapsed=0,
                    remaining=remaining[payer],
                    deducted_this_month=granted - remaining[payer],
                )
                for payer, granted in self.granted.items()
            ],
            balances_on=max(days, default=None),
            policies=[
                PolicyPrices(
                    id="trtc-intl",
                    name="International, by resolution",
                    valid_from=date(2023, 1, 12),
                    hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    items=tuple(
                        ItemPrice(
                            item=item,
                            top_area=TOP_AREAS[item],
                            price=Decimal(LIST[item]),
                            ratio=RATIOS[item],
                            free_ratio=RATIOS[item],
                        )
                        for item in LIST
                    ),
                )
            ],
            contract=() if self.discount == 1 else (f"list prices x {self.discount}, valid from 2026-03-01",),
        )


@dataclass
class Correcting:
    """A correction, as (seconds since the day began, seconds) of its windows and signed minutes of its payers."""

    day: date
    item: str
    windows: Sequence[tuple[int, int]] = ()
    minutes: int = 0
    paid: Mapping[str, int] = field(default_factory=dict)
    app: int = 1
    run: int = 41
    corrects_run: int | None = 12
    cause: str = "late events"
    unit_price: Decimal | None = None

    def correction(self) -> Correction:
        payable = self.minutes - sum(self.paid.values())
        list_price = Decimal(LIST[self.item]) if self.unit_price is None else None
        unit_price = list_price / 1000 if list_price else self.unit_price or Decimal(0)
        return Correction(
            day=self.day,
            app_id=self.app,
            item=self.item,
            seconds=sum(seconds for _, seconds in self.windows),
            minutes=self.minutes,
            deducted_minutes=sum(self.paid.values()),
            payable_minutes=payable,
            list_price=list_price,
            unit_price=unit_price,
            amount=payable * unit_price,
            run=self.run,
            corrects_run=self.corrects_run,
            posted_on=date(2026, 3, 20),
            cause=self.cause,
            deducted=tuple(
                CorrectedDeduction(payer, minutes, minutes * RATIOS[self.item]) for payer, minutes in self.paid.items()
            ),
        )

    def correction_windows(self, timezone: str) -> list[CorrectionWindow]:
        start = day_start(self.day, time_zone(timezone))
        return [
            CorrectionWindow(self.run, self.app, start + offset, self.day, self.item, seconds)
            for offset, seconds in self.windows
        ]


def corrected(facts: Facts, *posted: Correcting) -> Facts:
    """The facts with corrections, which the balances of the packages take in; free minutes of February join them.

    Where only windows have changed there is nothing but windows.
    """
    corrections = [row for row in (each.correction() for each in posted) if row.seconds or row.minutes or row.deducted]
    units: Counter[str] = Counter()
    for correction in corrections:
        for payer, _, package_units in correction.deducted:
            units[payer] += package_units
    packages = list(facts.packages)
    if "free-2026-02" in units:
        packages.append(
            PackageBalance(
                id="free-2026-02",
                app_id=None,
                valid_from=datetime(2026, 1, 31, 15, tzinfo=UTC),
                expires_at=datetime(2026, 2, 28, 15, tzinfo=UTC),
                granted=1000,
                deducted=400,
                lapsed=600 - units["free-2026-02"],
                remaining=units["free-2026-02"],
                deducted_this_month=0,
            )
        )
    return replace(
        facts,
        corrections=corrections,
        correction_windows=[row for each in posted for row in each.correction_windows(facts.account.timezone)],
        packages=[
            replace(
                package,
                deducted=package.deducted + units[package.id],
                remaining=package.remaining - units[package.id],
                deducted_this_month=package.deducted_this_month + units[package.id],
            )
            for package in packages
        ],
    )


# Corrections of two runs, all of them posted in March: more and less, only who pays, only in which window, a day of
# February, one before the first billed day, and an item that nothing else uses.
CORRECTIONS = (
    Correcting(date(2026, 3, 5), "hd", windows=[(0, 50), (300, 40)], minutes=2, paid={"pkg-1": 1}),
    Correcting(date(2026, 3, 7), "audio", windows=[(600, -120)], minutes=-2),
    Correcting(date(2026, 3, 8), "2k", paid={"free-2026-03": -3, "pkg-1": 3}, app=2),
    Correcting(date(2026, 3, 9), "hd", windows=[(0, -60), (300, 60)], app=2),
    Correcting(date(2026, 2, 28), "hd", windows=[(0, 200)], minutes=4, paid={"free-2026-02": 2}, corrects_run=9),
    Correcting(date(2026, 1, 31), "4k", windows=[(900, 61)], minutes=2, app=2, corrects_run=None),
    Correcting(date(2026, 3, 5), "hd", windows=[(300, -30)], minutes=-1, run=57, cause="=agreed on the telephone"),
    Correcting(
        date(2026, 3, 6), "sd", windows=[(0, 7000)], minutes=117, app=3, run=57, unit_price=Decimal("0.00199999")
    ),
)
