"""What an address of the console is about: the account, the app, the month. Foreign ones are as if they did not exist.

    /console/usage?account=academy&app=1400000001&day=2026-03-12

A customer's own account need not be named; of an account's apps the first stands for none.
"""

from datetime import date, timedelta
from typing import Any

from litestar import Request
from litestar.exceptions import NotFoundException

from billing import periods
from billing.catalog.catalog import Account, App
from billing.web.console.forms import asked, month_of, number_of
from billing.web.console.page_frame import Asked
from billing.web.installation import Installation


def chosen_account(request: Asked, installation: Installation) -> Account:
    """The account in the address; else the caller's own, or the first."""
    named = asked(request, "account")
    if not named:
        visible = visible_accounts(request, installation)
        if not visible:
            raise NotFoundException("there is no account yet: `billing catalog apply` adds one")
        return visible[0]
    return installation.account(request.user, named)


def chosen_app(request: Asked, installation: Installation, account: Account) -> App | None:
    """The app in the address, of the account; else its first, if it has one."""
    number = number_of(request, "app")
    if number is None:
        return next(iter(apps_of(installation, account)), None)
    app = installation.app(request.user, number)
    if app.account != account.id:
        raise NotFoundException(f"there is no app {number}")
    return app


def apps_of(installation: Installation, account: Account) -> list[App]:
    """The apps of an account, by number."""
    apps = installation.catalog().apps.values()
    return sorted((app for app in apps if app.account == account.id), key=lambda app: app.id)


def visible_accounts(request: Asked, installation: Installation) -> list[Account]:
    """The accounts that the caller sees, by id."""
    accounts = installation.catalog().accounts
    return [accounts[each] for each in sorted(accounts) if request.user.sees(each)]


def chosen_month(request: Request[Any, Any, Any], account: Account) -> date:
    """The month in the address; else the present one, where the account is."""
    return month_of(request) or today_of(account).replace(day=1)


def today_of(account: Account) -> date:
    """Today, where the account is."""
    return periods.local_day(int(periods.now().timestamp()), periods.time_zone(account.timezone))


def previous_month(month: date) -> date:
    """The first day of the month before."""
    return (month - timedelta(days=1)).replace(day=1)
