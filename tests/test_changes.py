"""What may change once it is billed, from the facts alone; `integration/test_catalog_store.py` has the database's."""

from datetime import date

import pytest

from billing.catalog.catalog import Catalog, Removal
from billing.catalog.changes import Billed, Change, plan, plan_removal
from billing.catalog.reading import parse_catalog
from billing.errors import BillingError

STORED = parse_catalog(
    """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"

[[account]]
id = "beta"
name = "Beta"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"

[[app]]
id = 1
account = "acme"
name = "One"

[[package]]
id = "pkg"
account = "acme"
minutes = 100
purchased_at = "2026-03-01T00:30:00+09:00"
""",
    "stored.toml",
)
MARCH_1 = date(2026, 3, 1)
MOVED = '[[app]]\nid = 1\naccount = "beta"\nname = "One"\n'
LARGER = '[[package]]\nid = "pkg"\naccount = "acme"\nminutes = 200\npurchased_at = "2026-03-01T00:30:00+09:00"\n'


def planned(text: str, billed: Billed) -> list[Change]:
    return plan(STORED, parse_catalog(text, "new.toml"), billed)


def refusal(text: str, billed: Billed) -> str:
    """The only reason why a file is refused."""
    with pytest.raises(BillingError) as refused:
        planned(text, billed)
    [_, line] = str(refused.value).splitlines()
    return line


def test_everything_may_change_before_the_first_bill() -> None:
    assert [change.detail for change in planned(MOVED + LARGER, Billed())] == [
        "account: acme → beta",
        "minutes: 100 → 200",
    ]


def test_a_package_is_bound_by_the_days_billed_since_its_purchase() -> None:
    """In Tokyo it was bought on 1 March, in UTC still in February."""
    assert planned(LARGER, Billed(accounts={"acme": date(2026, 2, 28)}))[0].action == "changed"
    billed = Billed(accounts={"acme": MARCH_1})
    assert refusal(LARGER, billed).startswith('package "pkg": it pays from 2026-03-01 on, and that is billed up to')


def test_an_app_moves_until_it_is_charged_and_not_to_an_account_with_billed_days() -> None:
    assert planned(MOVED, Billed(accounts={"acme": MARCH_1}))[0].action == "changed"
    charged = Billed(accounts={"acme": MARCH_1}, apps={("acme", 1): MARCH_1})
    assert 'it is billed to "acme" up to 2026-03-01' in refusal(MOVED, charged)
    assert "which is billed up to 2026-03-01 without it" in refusal(MOVED, Billed(accounts={"beta": MARCH_1}))


def test_an_account_keeps_its_contracts_until_it_goes() -> None:
    contract = '[[contract]]\naccount = "beta"\nvalid_from = 2026-01-01\ndiscount = "0.9"\n'
    stored = STORED.merged(parse_catalog(contract, "new.toml"))
    assert stored.without(Removal(kind="app", id=1)).contracts == stored.contracts
    assert stored.without(Removal(kind="account", id="acme")).contracts == stored.contracts
    assert stored.without(Removal(kind="account", id="beta")).contracts == {}


@pytest.mark.parametrize(
    ("removal", "billed", "line"),
    [
        (Removal(kind="app", id=1), Billed(apps={("beta", 1): MARCH_1}), "app 1: it is billed up to 2026-03-01"),
        (Removal(kind="account", id="beta"), Billed(accounts={"beta": MARCH_1}), 'account "beta": it is billed up to'),
        (Removal(kind="account", id="beta"), Billed(tried=frozenset({"beta"})), 'account "beta": runs of it are on'),
        (Removal(kind="package", id="pkg"), Billed(accounts={"acme": MARCH_1}), 'package "pkg": it pays from'),
    ],
)
def test_what_is_billed_is_not_removed(removal: Removal, billed: Billed, line: str) -> None:
    assert plan_removal(STORED, removal, Billed()).action == "removed"
    with pytest.raises(BillingError, match=f"^the {removal.kind} cannot be removed:\n{line}"):
        plan_removal(STORED, removal, billed)


def test_an_empty_file_changes_nothing() -> None:
    assert plan(STORED, Catalog(), Billed(accounts={"acme": MARCH_1})) == []
