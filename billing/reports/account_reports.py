"""The reports on one account's usage and money: the rows of `account` and `usage`, and how a screen shows them."""

from typing import TYPE_CHECKING

from billing.reports.row_formats import Report, frame_report

if TYPE_CHECKING:
    import polars as pl


def charges_report(rows: "pl.DataFrame", *, empty: str = "no charges") -> Report:
    """Charges; what each payer paid is an object from payer to minutes."""
    named = [
        {**row, "deducted_by": {payer["payer_id"]: payer["minutes"] for payer in row["deducted_by"]}}
        for row in rows.to_dicts()
    ]
    # A screen has no room for prices beside accounts.
    of_all = ["unit_price"] if "account" in rows.columns else []
    one_currency = len({row["currency"] for row in named}) == 1
    return Report(
        fields=rows.columns,
        rows=named,
        empty=empty,
        sums=("minutes", "deducted_minutes", "payable_minutes", *(["amount"] if one_currency else [])),
        once=("account", "app_id", "currency", "kind", "settled"),
        without=(
            "seconds",
            "run",
            "corrects_run",
            "posted_on",
            "cause",
            "deducted_by",
            *of_all,
            *_usual(rows, settled=True, document=None),
        ),
    )


def packages_report(rows: "pl.DataFrame", account_id: str) -> Report:
    """What is left of an account's packages and free minutes."""
    return frame_report(
        rows,
        empty=f"{account_id} has no packages",
        sums=("granted", "deducted", "lapsed", "refunded", "remaining"),
        once=("settled",),
        without=_usual(rows, settled=True, refunded=0),
    )


def findings_report(rows: "pl.DataFrame") -> Report:
    """What was ignored or interpreted."""
    return frame_report(rows, empty="no findings", once=("day", "app_id"))


def usage_report(rows: "pl.DataFrame") -> Report:
    """What an app used, in seconds or in minutes."""
    return frame_report(
        rows,
        empty="no billed usage on these days",
        sums=[name for name in ("seconds", "minutes") if name in rows.columns],
        once=("app_id",),
        without=("run", *_usual(rows, kind="usage", settled=True)),
    )


def _usual(frame: "pl.DataFrame", **values: object) -> list[str]:
    """The columns that hold nothing but their usual value, and so need no place in a table."""
    return [name for name, value in values.items() if set(frame[name]) <= {value}]
