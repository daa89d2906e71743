"""What the nightly does about silent apps: it names them, and holds the day if their account wants that."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing.catalog.catalog import Account
from billing.events.last_events import last_event_at
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import AccountDay
from billing.metering.schemas import Metered
from billing.metering.silence import SILENT_SECONDS, SilentApp, silent_apps
from billing.periods import local_iso, parse_duration, time_zone

_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """The apps of an account that are silent at the end of a day (epoch second)."""

    account: Account
    end: int
    apps: Sequence[SilentApp]

    @property
    def holds(self) -> bool:
        """Whether the day is not to be billed yet."""
        hold = self.account.hold_if_silent
        return hold is not None and any(app.is_silent_for(parse_duration(hold), self.end) for app in self.apps)

    def __str__(self) -> str:
        zone = time_zone(self.account.timezone)
        named = [
            f"app {app.app_id} silent since {local_iso(app.last_at // 1000, zone)} with open stays ({app.stays:,})"
            for app in self.apps[:_NAMED]
        ]
        return "; ".join([*named, *([f"and {len(self.apps) - _NAMED:,} apps more"] if len(self.apps) > _NAMED else [])])


def silence_of(cutoff: Cutoff, account_day: AccountDay, metered: Metered) -> Silence:
    """The apps that are silent at the end of a metered day, as far as the run knows the log.

    They are silent after two hours, or after `hold_if_silent` if that is shorter.
    """
    account = cutoff.catalog.accounts[account_day.account_id]
    hold = account.hold_if_silent
    apps = silent_apps(
        metered.state,
        account_day.end,
        lambda apps: last_event_at(cutoff.log, apps, ingest_id=cutoff.ingest_id),
        seconds=min(SILENT_SECONDS, parse_duration(hold) if hold else SILENT_SECONDS),
    )
    return Silence(account=account, end=account_day.end, apps=apps)
