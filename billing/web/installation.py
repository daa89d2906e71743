"""The installation that the service works on, and what a caller may see of it.

A foreign account, app or room is as if it did not exist (404): an answer never tells whether a name is taken.
"""

import time
from dataclasses import dataclass, field
from functools import partial

from anyio import CapacityLimiter
from litestar.exceptions import NotFoundException

from billing.catalog.catalog import Account, App, Catalog
from billing.errors import UsageError
from billing.home import TOKENS_STAMP, Home
from billing.ledger.catalog_store import KnownCatalog, known_catalog
from billing.ledger.database import Engine, reading
from billing.ledger.tokens import Caller, caller_of
from billing.web.parameters import app_number
from billing.web.secrets_file import Secrets, read_secrets

_REMEMBERED_SECONDS = 10.0
_MOST_REMEMBERED = 10_000
_HEAVY_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """One home and its database, with the secrets that the service must know. `heavy_work` is what only a few threads
    do at once: metering again, writing workbooks."""

    home: Home
    engine: Engine
    secrets: Secrets = field(default_factory=Secrets)
    heavy_work: CapacityLimiter = field(default_factory=partial(CapacityLimiter, _HEAVY_AT_ONCE))
    _callers: dict[str, tuple[object, Caller | None]] = field(default_factory=dict)
    _known: list[KnownCatalog] = field(default_factory=list)

    @classmethod
    def of(cls, home: Home, engine: Engine) -> "Installation":
        """The installation of a home; a `BillingError` when its secrets cannot be read."""
        return cls(home=home, engine=engine, secrets=read_secrets(home.directory))

    def known_caller(self, token: str) -> Caller | None:
        """Whose token it is, if that is known without asking the database. What is known is kept for 10 seconds, and
        forgotten at once when a token is revoked."""
        now, caller = self._callers.get(token, (None, None))
        return caller if caller and now == self._now() else None

    def caller(self, token: str) -> Caller | None:
        """Whose token it is."""
        now = self._now()
        known = self._callers.get(token)
        if known is None or known[0] != now:
            with reading(self.engine) as conn:
                known = (now, caller_of(conn, token))
            if len(self._callers) >= _MOST_REMEMBERED:
                self._callers.clear()
            self._callers[token] = known
        return known[1]

    def _now(self) -> tuple[object, float]:
        """What changes when callers may have."""
        return tokens_stamp(self.home), time.monotonic() // _REMEMBERED_SECONDS

    def catalog(self) -> Catalog:
        """The catalog as it is now."""
        with reading(self.engine) as conn:
            known = self._known[0].now(conn) if self._known else known_catalog(conn)
        self._known[:] = [known]
        return known.catalog

    def account(self, caller: Caller, account_id: str) -> Account:
        """An account that the caller sees."""
        found = self.catalog().accounts.get(account_id)
        if found is None or not caller.sees(account_id):
            raise NotFoundException(f"there is no account {account_id!r}")
        return found

    def app(self, caller: Caller, app_id: int) -> App:
        """An app of an account that the caller sees."""
        found = self.catalog().apps.get(app_id)
        if found is None or not caller.sees(found.account):
            raise NotFoundException(f"there is no app {app_id}")
        return found

    def app_named(self, caller: Caller, text: str) -> App:
        """The app whose number stands in a path."""
        try:
            return self.app(caller, app_number(text))
        except UsageError:
            raise NotFoundException(f"there is no app {text!r}") from None


def tokens_stamp(home: Home) -> int:
    """A number that changes when tokens do."""
    try:
        return (home.directory / TOKENS_STAMP).stat().st_mtime_ns
    except FileNotFoundError:
        return 0
