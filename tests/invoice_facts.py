"""A month's facts for the tests of the invoice: charges, deductions and balances that follow from its windows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from billing.catalog.catalog import Account
from billing.catalog.contracts import Contract
from billing.catalog.items import Tier, WindowUsage
from billing.catalog.policies import Policy, PolicyVersion
from billing.catalog.sellers import Seller
from billing.invoicing.annex import Annex, DayDetail, ReasonSeconds
from billing.invoicing.invoice import BilledMonth, make_invoice
from billing.periods import day_start, local_day, month_days, time_zone
from billing.rating.balances import PackageBalance
from billing.rating.charges import Charge, PostedCharge
from billing.rating.deductions import Deduction

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
    prices: Mapping[str, str] = field(default_factory=lambda: LIST)

    def billed(self, *charges: PostedCharge) -> BilledMonth:
        """The month with these charges and nothing behind them."""
        contract = Contract(account=self.account_id, valid_from=date(2026, 3, 1), discount=self.discount)
        policy = policy_in(self.currency, self.prices)
        return BilledMonth(
            account=Account(
                id=self.account_id,
                name=self.account_name,
                address="1-2-3 Shibuya\nTokyo 150-0002",
                currency=self.currency,
                timezone=self.timezone,
                policy="own",
            ),
            seller=Seller(id="seller", name="RTC Service Ltd.", address="5 Harbour Road\nSingapore"),
            month=self.month,
            days=self.days if self.days is not None else month_days(self.month),
            apps=self.apps,
            charges=charges,
            contracts=() if self.discount == 1 else (contract,),
            policies=[(policy, policy.versions[0])],
        )

    def annex(self) -> Annex:
        """The invoice of the month, and the annex that follows from its windows."""
        zone = time_zone(self.timezone)
        remaining, days = dict(self.granted), {}
        cumulative: dict[tuple[int, date, str], list[int]] = {}
        windows = [
            WindowUsage(day_start(day, zone) + start, app, item, seconds)
            for app, day, start, item, seconds in self.windows
        ]
        for window in sorted(windows, key=lambda row: (row[0], row[1], ITEMS.index(row[2]))):
            start, app, item, seconds = window
            day = local_day(start, zone)
            usage, deductions = days.setdefault(day, ([], []))
            usage.append(window)
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
                    deductions.append(Deduction(start, app, item, payer, paid, paid * RATIOS[item]))
        month = self.billed(*(self._charge(key, sums) for key, sums in cumulative.items()))
        return Annex(
            invoice=make_invoice(month),
            month=month,
            settled=[
                DayDetail(
                    day=day,
                    run_id=12,
                    usage=usage,
                    reasons=[
                        ReasonSeconds(app, item, "alone_in_room" if item == "audio" else "camera", seconds)
                        for (app, used_on, item), (seconds, _, _) in cumulative.items()
                        if used_on == day
                    ],
                    deductions=deductions,
                )
                for day, (usage, deductions) in days.items()
            ],
            packages=[
                PackageBalance(
                    id=payer,
                    app_id=None,
                    valid_from=date(2026, 3, 1),
                    valid_to=date(2027, 2, 28),
                    granted=granted,
                    deducted=granted - remaining[payer],
                )
                for payer, granted in self.granted.items()
            ],
            deducted={payer: granted - remaining[payer] for payer, granted in self.granted.items()},
        )

    def _charge(self, key: tuple[int, date, str], sums: Sequence[int]) -> PostedCharge:
        (app, day, item), (seconds, minutes, deducted) = key, sums
        list_price = Decimal(self.prices[item]) / 1000
        unit_price = list_price * self.discount
        return PostedCharge(
            day=day,
            kind="usage",
            run_id=12,
            posted_on=day,
            currency=self.currency,
            list_price=list_price,
            charge=Charge(
                app_id=app,
                item=item,
                seconds=seconds,
                minutes=minutes,
                deducted_minutes=deducted,
                payable_minutes=minutes - deducted,
                unit_price=unit_price,
                amount=(minutes - deducted) * unit_price,
            ),
        )


def policy_in(currency: str, prices: Mapping[str, str] = LIST) -> Policy:
    """A policy of one version with these prices."""
    version = PolicyVersion(
        valid_from=date(2023, 1, 12),
        method="aggregate",
        tiers=tuple(Tier(item=item, top_area=TOP_AREAS[item]) for item in LIST if item != "audio"),
        ratios=RATIOS,
        free_minutes=10_000,
        free_ratios=RATIOS,
        prices={currency: {item: Decimal(price) for item, price in prices.items()}},
        package_prices={},
    )
    return Policy(id="own", name="By resolution", versions=(version,))


def with_charges(annex: Annex, charges: Sequence[PostedCharge]) -> Annex:
    """The annex with other charges, and the invoice that they make."""
    month = replace(annex.month, charges=charges)
    return replace(annex, month=month, invoice=make_invoice(month))


def without_first(annex: Annex, part: str, field: str) -> Annex:
    """The annex without the first row of `settled` or `corrected` details that have any; the invoice stays."""
    details = list(getattr(annex, part))
    place = next(place for place, detail in enumerate(details) if getattr(detail, field))
    details[place] = replace(details[place], **{field: getattr(details[place], field)[1:]})
    return replace(annex, **{part: details})


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

    def correction(self) -> PostedCharge:
        payable = self.minutes - sum(self.paid.values())
        list_price = Decimal(LIST[self.item]) / 1000 if self.unit_price is None else None
        unit_price = list_price or self.unit_price or Decimal(0)
        return PostedCharge(
            day=self.day,
            kind="correction",
            run_id=self.run,
            corrects_run_id=self.corrects_run,
            posted_on=date(2026, 3, 20),
            cause=self.cause,
            currency="USD",
            list_price=list_price,
            charge=Charge(
                app_id=self.app,
                item=self.item,
                seconds=sum(seconds for _, seconds in self.windows),
                minutes=self.minutes,
                deducted_minutes=sum(self.paid.values()),
                payable_minutes=payable,
                unit_price=unit_price,
                amount=payable * unit_price,
            ),
        )

    def detail(self, timezone: str) -> DayDetail:
        start = day_start(self.day, time_zone(timezone))
        return DayDetail(
            day=self.day,
            run_id=self.run,
            usage=[WindowUsage(start + offset, self.app, self.item, seconds) for offset, seconds in self.windows],
            deductions=[
                Deduction(start, self.app, self.item, payer, minutes, minutes * RATIOS[self.item])
                for payer, minutes in self.paid.items()
            ],
        )

    @property
    def is_charged(self) -> bool:
        """Where only windows have changed there is nothing but windows."""
        return bool(self.minutes or self.paid or sum(seconds for _, seconds in self.windows))


def corrected_month(month: BilledMonth, *posted: Correcting) -> BilledMonth:
    """The month with corrections."""
    return replace(month, charges=[*month.charges, *(each.correction() for each in posted if each.is_charged)])


def corrected(annex: Annex, *posted: Correcting) -> Annex:
    """The annex with corrections, which the balances of the packages take in; free minutes of February join them."""
    units: Counter[str] = Counter()
    for each in posted:
        units.update({payer: minutes * RATIOS[each.item] for payer, minutes in each.paid.items()})
    packages = list(annex.packages)
    if "free-2026-02" in units:
        february = {"valid_from": date(2026, 2, 1), "valid_to": date(2026, 2, 28)}
        lapsed = 600 - units["free-2026-02"]
        packages.append(
            PackageBalance(id="free-2026-02", app_id=None, granted=1000, deducted=400, lapsed=lapsed, **february)
        )
    month = corrected_month(annex.month, *posted)
    return replace(
        annex,
        invoice=make_invoice(month),
        month=month,
        corrected=[each.detail(annex.month.account.timezone) for each in posted],
        packages=[replace(package, deducted=package.deducted + units[package.id]) for package in packages],
        deducted={package.id: annex.deducted.get(package.id, 0) + units[package.id] for package in packages},
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
