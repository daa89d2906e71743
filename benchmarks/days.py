"""Made-up days on disk: the event files of a shape, and a home of `billing` for them."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from benchmarks.rooms import NUMBERS, Shape
from benchmarks.timing import Timing, timed
from billing.events.log import EventLog

DATA = Path(__file__).parent / "data"
ACCOUNTS = tuple(f"account-{number}" for number in range(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """The `billing` command with its home, at a fixed time."""

    home: Path
    now: datetime

    def run(self, *arguments: str | Path) -> Timing:
        """Starts it as a user would."""
        program = Path(sys.executable).with_name("billing")
        environment = {"BILLING_NOW": self.now.isoformat()}
        return timed([str(program), "--home", str(self.home), *map(str, arguments)], environment)

    def start_over(self, catalog: str, *, keep_events: bool = False) -> None:
        """An empty home with a catalog; with `keep_events`, one that has events but has billed nothing."""
        if keep_events:
            for database in self.home.glob("billing.db*"):
                database.unlink()
        elif self.home.exists():
            shutil.rmtree(self.home)
        self.home.mkdir(parents=True, exist_ok=True)
        catalog_file = self.home.parent / f"{self.home.name}-catalog.toml"
        catalog_file.write_text(catalog)
        self.run("init")
        self.run("catalog", "apply", catalog_file)


@dataclass(frozen=True, slots=True)
class Day:
    """The days of a shape, in a directory of their own; seen from the morning after the last."""

    shape: Shape

    @property
    def directory(self) -> Path:
        return DATA / "-".join(str(getattr(self.shape, name)) for name in NUMBERS)

    def billing(self, home: str = "home") -> Billing:
        """`billing` with one of the homes of these days."""
        morning_after = datetime.fromtimestamp(self.shape.end, UTC) + timedelta(hours=6)
        return Billing(home=self.directory / home, now=morning_after)

    def file(self, ending: str = ".parquet") -> Path:
        """The event file, which is made up if it is not there: in a process of its own, whose memory is not counted as
        that of the ones started later."""
        path = self.directory / f"events{ending}"
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            print(f"making up {path} …", file=sys.stderr)
            part = path.with_name(f"part{ending}")
            timed([sys.executable, "-m", "benchmarks.rooms", str(part), *self.shape.options])
            part.rename(path)
        return path

    def ingest(self, ending: str = ".parquet", home: str = "home") -> Timing:
        """Ingests the event file into an empty log."""
        file, billing = self.file(ending), self.billing(home)
        billing.start_over(self.catalog)
        return billing.run("ingest", "--format", "json", file)

    def log(self) -> EventLog:
        """The event log, of an ingest before if there was one."""
        log = EventLog(directory=self.billing().home / "events")
        if not log.last_ingest_id():
            self.ingest()
        return log

    def count(self) -> int:
        """How many events of these days the log has."""
        events = self.log().scan(self.shape.start, self.shape.end)
        count: int = events.select(pl.len()).collect(engine="streaming").item()
        return count

    @property
    def catalog(self) -> str:
        """Three accounts with a package each, among which the apps are divided."""
        apps = {account: self.shape.app_ids[number :: len(ACCOUNTS)] for number, account in enumerate(ACCOUNTS)}
        return "".join(account_with(account, of_account) for account, of_account in apps.items())


def account_with(account: str, apps: Sequence[int], packages: int = 1) -> str:
    """A piece of a catalog: an account in dollars and UTC, its apps and packages."""
    parts = [
        f'[[account]]\nid = "{account}"\nname = "{account}"\n'
        'currency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n\n'
    ]
    parts += [f'[[app]]\nid = {app}\naccount = "{account}"\nname = "app {app}"\n\n' for app in apps]
    parts += [
        f'[[package]]\nid = "{account}-{number}"\naccount = "{account}"\nminutes = 3000000\n'
        'purchased_at = "2026-02-20T12:00:00+00:00"\nprice = "2416"\nterm = "year"\n\n'
        for number in range(packages)
    ]
    return "".join(parts)
