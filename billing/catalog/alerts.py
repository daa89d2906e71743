"""Alerts and webhooks: which values are watched, and who is told.

An alert fires once for each threshold and period, when its metric crosses it. Thresholds are amounts of the metric, or
percentages of `limit`: with `limit = "500"` the threshold `80%` is 400. `minutes` and `spend` are crossed upwards,
within a day or a month; `package_remaining` and `balance` downwards, and they fire again once they were back above.

A webhook is an address to which events are sent. Its secret stands in a file or a variable, never in the catalog.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

# What webhooks may be told.
EVENTS = (
    "invoice.issued",
    "invoice.overdue",
    "payment.received",
    "service.suspended",
    "service.resumed",
    "alert.fired",
    "package.expiring",
    "feed.silent",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A metric of an account that is watched, or of one of its apps; `package` None: all packages of the account.

    A threshold is a decimal such as "400", or such a percentage of `limit` as "80%".
    """

    id: str
    account: str
    app: int | None = None
    package: str | None = None
    metric: Literal["minutes", "spend", "package_remaining", "balance"]
    period: Literal["day", "month"] = "month"
    limit: Decimal | None = None
    thresholds: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where events go: all of them, or those named in `events`; of one account, or of all.

    The secret is in the file `secret_file` or in the environment variable `secret_env`. `allow_private`: the address
    may be one of a private network, and plain HTTP.
    """

    id: str
    url: str
    secret_file: str | None = None
    secret_env: str | None = None
    events: tuple[str, ...] = ()
    account: str | None = None
    allow_private: bool = False
