"""Alerts, which watch what an account uses, spends or has left, and webhooks, to which messages go."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

EVENTS = (
    *("invoice.issued", "invoice.overdue", "payment.received", "service.suspended", "service.resumed"),
    *("alert.fired", "package.expiring", "feed.silent"),
)
Metric = Literal["minutes", "spend", "package_remaining", "balance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """It fires when its metric crosses a threshold: minutes and money spent upwards, what is left downwards.

    A threshold is a share of `limit` ("80%") or a number ("400"). `app`, `package`: of these alone.
    """

    id: str
    account: str
    app: int | None = None
    package: str | None = None
    metric: Metric
    period: Literal["day", "month"] = "month"
    limit: Decimal | None = None
    thresholds: tuple[str, ...]

    def value_of(self, threshold: str) -> Decimal:
        """The number at which a threshold lies."""
        if threshold.endswith("%"):
            return Decimal(threshold.removesuffix("%")) * (self.limit or 0) / 100
        return Decimal(threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An address that gets messages, signed with a secret from a file or a variable; no `events`: all of them."""

    id: str
    url: str
    secret_file: str | None = None
    secret_env: str | None = None
    events: tuple[str, ...] = ()
    account: str | None = None
    allow_private: bool = False
