"""What the nightly does about silent apps: it names them, and holds the day if their account wants that."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from billing.catalog.catalog import Account
from billing.events.last_events import last_events_since
from billing.jobs.cutoff import Cutoff
from billing.ledger.opening import AccountDay
from billing.metering.schemas import Metered
from billing.metering.silence import SILENT_SECONDS, SilentApp, silent_apps
from billing.periods import STALE_SECONDS, local_iso, parse_duration, time_zone

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


@dataclass(slots=True, kw_only=True)
class Feeds:
    """When the apps were heard last, as far as a run knows the log: read once, when it is first asked for."""

    cutoff: Cutoff
    _since: int | None = field(default=None, init=False)
    _last_events: Mapping[int, int] = field(default_factory=dict, init=False)

    def silence_of(self, account_day: AccountDay, metered: Metered) -> Silence:
        """The apps that are silent at the end of a metered day.

        They are silent after two hours, or after `hold_if_silent` if that is shorter.
        """
        account = self.cutoff.catalog.accounts[account_day.account_id]
        hold = account.hold_if_silent

        def last_events(_: Collection[int]) -> Mapping[int, int]:
            # An open stay has an event in the 24 hours before.
            return self._heard_since(account_day.end - STALE_SECONDS)

        seconds = min(SILENT_SECONDS, parse_duration(hold) if hold else SILENT_SECONDS)
        apps = silent_apps(metered.state, account_day.end, last_events, seconds=seconds)
        return Silence(account=account, end=account_day.end, apps=apps)

    def _heard_since(self, start: int) -> Mapping[int, int]:
        if self._since is None or start < self._since:
            self._since = start
            self._last_events = last_events_since(self.cutoff.log, start, ingest_id=self.cutoff.ingest_id)
        return self._last_events
