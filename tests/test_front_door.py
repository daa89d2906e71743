"""The front door: `billing.open` gives the rows that the commands print, as frames."""

import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import load_workbook

import billing
from billing.front_door import Billing, Room
from tests.commands import ROOT, Commands

APP = 1400000001
DAY = date(2026, 3, 10)
SAMPLE = ROOT / "sample_data"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the sample day is settled and then corrected; the next day is refreshed."""
    home = tmp_path_factory.mktemp("home")
    run = Commands(home=home)
    for line in (
        "init",
        f"catalog apply {SAMPLE}/catalog.toml",
        f"ingest {SAMPLE}/events.ndjson",
        "nightly",
        f"quarantine retry --fixed {SAMPLE}/fixed.json",
        "nightly",
        "refresh",
    ):
        assert run(line).exit_code == 0
    return home


@pytest.fixture(scope="module")
def home(sample: Path) -> Billing:
    return billing.open(sample)


def test_charges_of_a_month_sum_to_the_invoice(home: Billing) -> None:
    charges = home.charges("academy", "2026-03")
    assert charges["amount"].sum() == Decimal("0.21873")
    assert charges["kind"].value_counts(sort=True).rows() == [("usage", 4), ("correction", 2)]


def test_days_and_months_are_text_or_dates_or_timestamps(home: Billing) -> None:
    month = home.charges("academy", "2026-03")
    for value in (DAY, datetime(2026, 3, 31, 23, tzinfo=UTC), pd.Timestamp("2026-03-01")):
        assert home.charges("academy", value).equals(month)
    day = home.usage(APP, "2026-03-10", "2026-03-10")
    for value in (DAY, datetime(2026, 3, 10, 23, tzinfo=UTC), pd.Timestamp("2026-03-10")):
        assert home.usage(APP, value, value).equals(day)


@pytest.mark.parametrize("by", ["window", "day", "room", "user"])
def test_usage_sums_to_the_seconds_of_the_class(home: Billing, by: str) -> None:
    assert home.usage(APP, DAY, DAY, by=by)["seconds"].sum() == 4_225  # type: ignore[arg-type]


def test_usage_in_minutes_and_as_known_at_a_run(home: Billing) -> None:
    minutes = home.usage(APP, DAY, DAY, by="day", unit="minutes").group_by("item").agg(minutes="minutes")
    now = {item: sum(of_item) for item, of_item in minutes.iter_rows()}
    then = home.usage(APP, DAY, DAY, by="day", unit="minutes", run=1)
    assert now == {"audio": 40, "hd": 10, "fhd": 9, "2k": 13}
    assert dict(then.select("item", "minutes").iter_rows()) == {"audio": 39, "hd": 11, "fhd": 9, "2k": 13}


def test_packages_are_in_package_minutes(home: Billing) -> None:
    found = home.packages("academy").select("id", "granted", "deducted", "remaining").rows()
    assert found == [("free-2026-03", 50, 50, 0), ("starter", 100, 100, 0)]


def test_findings_are_of_an_account_of_an_app_or_of_all(home: Billing) -> None:
    for found in (home.findings(), home.findings("academy"), home.findings(app=APP, first="2026-03-10", last=DAY)):
        assert found.is_empty()
        assert found.columns[-2:] == ["finding", "detail"]


def test_runs_are_a_frame_with_their_counts(home: Billing) -> None:
    runs = home.runs()
    assert runs["result"].to_list() == ["refreshed", "corrected", "billed"]
    assert home.runs(limit=1)["id"].to_list() == [3]
    corrected = runs.filter(result="corrected").explode("counts").unnest("counts")
    assert dict(corrected.select("name", "count").iter_rows())["lines"] == 2


def test_a_home_without_runs_has_an_empty_frame_of_the_same_columns(home: Billing, tmp_path: Path) -> None:
    assert Commands(home=tmp_path)("init").exit_code == 0
    assert billing.open(tmp_path).runs().schema == home.runs().schema


def test_provisional_days_are_included_when_asked_for(home: Billing, sample: Path) -> None:
    provisional = billing.open(sample, provisional=True)
    assert not provisional.packages("academy")["settled"].any()
    assert home.packages("academy")["settled"].all()
    days = ("2026-03-10", "2026-03-11")
    assert provisional.usage(APP, *days, run=1).equals(home.usage(APP, *days, run=1))


def test_an_invoice_is_exported_as_known_then(home: Billing, tmp_path: Path) -> None:
    path = home.export_invoice("academy", "2026-03", tmp_path / "now.xlsx")
    assert "Corrections" in " ".join(load_workbook(path).sheetnames)
    for as_of in ("2026-03-12T00:00:00Z", datetime(2026, 3, 12, tzinfo=UTC)):
        assert home.export_invoice("academy", DAY, str(tmp_path / "then.xlsx"), as_of=as_of).is_file()
    with pytest.raises(billing.BillingError, match="unknown account 'academy': there is none yet"):
        home.export_invoice("academy", "2026-03", tmp_path / "before.xlsx", as_of="2026-03-10T00:00:00Z")


def test_an_estimate_has_the_terms_of_the_account(home: Billing) -> None:
    month = home.estimate("academy", Room(users=3), rooms_per_day=1, minutes=30, days=1)
    assert (month.pay_as_you_go, month.currency, month.free_minutes_used) == (Decimal("0.0396"), "USD", 50)


def test_the_database_may_be_named(sample: Path, tmp_path: Path) -> None:
    database = Path(shutil.copy(sample / "billing.db", tmp_path / "other.db"))
    home = billing.open(tmp_path, database_url=f"sqlite:///{database}")
    assert home.runs().height == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda home: home.charges("acme", "2026-03"), "acme"),
        (lambda home: home.charges("academy", "2026-3"), "is not a month"),
        (lambda home: home.usage(APP, "10.03.2026", "2026-03-10"), "is not a day"),
        (lambda home: home.usage(1, DAY, DAY), "1"),
        (lambda home: home.usage(APP, DAY, DAY, by="user", unit="minutes"), "no minutes by user"),
        (lambda home: home.usage(APP, DAY, DAY, run=99), "no run 99"),
    ],
)
def test_what_is_not_there_is_a_usage_error(home: Billing, call: object, message: str) -> None:
    with pytest.raises(billing.UsageError, match=message):
        call(home)  # type: ignore[operator]


def test_a_directory_that_is_no_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(billing.BillingError, match="run `billing init` first"):
        billing.open(tmp_path / "nothing")


def test_importing_billing_loads_no_library() -> None:
    code = "import sys, billing; assert not {'polars', 'sqlalchemy', 'numba', 'click'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(billing.__file__).parent / "py.typed").is_file()
