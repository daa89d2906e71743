"""Readers: who signed a call, and which apps that key may read.

A foreign app and one that does not exist are refused alike: an answer never tells whether a number is taken.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from billing.catalog.catalog import App, Catalog
from billing.home import Home
from billing.ledger.database import Engine
from billing.periods import time_zone
from billing.web.secrets_file import TencentKey
from billing.web.tencent.call_errors import CallError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A key at work: a key without an account is the operator's."""

    key: TencentKey
    home: Home
    engine: Engine
    catalog: Catalog

    def app(self, app_id: int) -> App:
        """An app that the key may read."""
        app = self.catalog.apps.get(app_id)
        if app is None or not self._sees(app):
            raise CallError("AuthFailure.UnauthorizedOperation", f"this key has no app {app_id}")
        return app

    def apps(self) -> list[App]:
        """All apps that the key may read, by number."""
        return [app for _, app in sorted(self.catalog.apps.items()) if self._sees(app)]

    def zone(self, app: App) -> ZoneInfo:
        """The time zone of the account of an app."""
        return time_zone(self.catalog.accounts[app.account].timezone)

    def _sees(self, app: App) -> bool:
        return self.key.account in (None, app.account)
