"""Usage metering and billing for real-time audio and video: from a media server's events to an Excel invoice.

    import billing
    home = billing.open("billing-data")

See `docs/python.md`. Importing `billing` loads nothing else; `open` loads the engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from billing.errors import BillingError as BillingError
from billing.errors import UsageError as UsageError

if TYPE_CHECKING:
    from billing.front_door import Billing

__version__ = "0.5.0"


def open(  # noqa: A001 - read as `billing.open`
    directory: str | Path, *, database_url: str | None = None, provisional: bool = False
) -> "Billing":
    """The reports of the home at `directory`, whose database is `billing.db` inside unless `database_url` is given.

    With `provisional` they include the days that are not settled yet, up to the last `billing refresh`.
    """
    from billing.front_door import open_home

    return open_home(directory, database_url=database_url, provisional=provisional)
