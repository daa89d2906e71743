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


CHARGED = LARGER.replace("200", "100") + 'price = 5\ncharge = "{}"\n'


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("external", "invoice", True),
        ("invoice", "external", True),
        ("external", "prepaid", False),
        ("invoice", "prepaid", False),
        ("prepaid", "invoice", False),
        ("prepaid", "external", False),
        ("prepaid", "prepaid", True),
    ],
)
def test_a_package_neither_becomes_prepaid_nor_stops_being_it(before: str, after: str, allowed: bool) -> None:
    """Its invoice was issued, or not, when it came. Whether any day is billed does not matter."""
    stored = STORED.merged(parse_catalog(CHARGED.format(before), "stored.toml"))
    new = parse_catalog(CHARGED.format(after), "new.toml")
    if allowed:
        [change] = plan(stored, new, Billed())
        assert change.detail == ("" if before == after else f"charge: {before} → {after}")
        return
    with pytest.raises(BillingError, match=f'package "pkg": its charge cannot become "{after}", because it was bought'):
        plan(stored, new, Billed())


def test_the_name_the_address_and_the_tax_of_a_billed_account_may_change() -> None:
    tax = '[[tax]]\nid = "vat"\nversion = [{ valid_from = 2020-01-01, category = "S", rate = 20, text = "VAT 20 %" }]\n'
    account = (
        '[[account]]\nid = "acme"\nname = "Acme Inc."\ncurrency = "USD"\ntimezone = "Asia/Tokyo"\n'
        'policy = "trtc-intl"\naddress = "Tokyo"\ntax = "vat"\npay_as_you_go = false\n'
    )
    changes = planned(tax + account, Billed(accounts={"acme": MARCH_1}))
    assert [(change.kind, change.action, change.detail) for change in changes] == [
        ("tax", "added", ""),
        (
            "account",
            "changed",
            "name: Acme → Acme Inc.; address: none → Tokyo; tax: none → vat; pay_as_you_go: true → false",
        ),
    ]


def test_a_change_within_a_table_of_an_entry_is_shown_in_words() -> None:
    seller = '[[seller]]\nid = "east"\nname = "East"\ninvoice = {{ prefix = "{}" }}\n'
    steps = '[[overdue_policy]]\nid = "own"\nsteps = [{{ state = "reminded", after = "{}" }}]\n'
    stored = STORED.merged(parse_catalog(seller.format("E") + steps.format("P1D"), "stored.toml"))
    changes = plan(stored, parse_catalog(seller.format("EA") + steps.format("P2D"), "new.toml"), Billed())
    form = "format {prefix}-{year}-{seq:06}, reset year"
    assert [change.detail for change in changes] == [
        f"invoice: prefix E, {form} → prefix EA, {form}",
        "steps: state reminded, after P1D, notice false, admit true → "
        "state reminded, after P2D, notice false, admit true",
    ]


def test_what_an_alert_or_a_webhook_is_for_stays() -> None:
    alert = '[[alert]]\nid = "low"\naccount = "acme"\n{}\nmetric = "package_remaining"\nthresholds = [1]\n'
    hook = '[[webhook]]\nid = "h"\nurl = "https://example.com/"\nsecret_env = "S"\naccount = "beta"\n'
    for target, removal in {
        "app = 1": Removal(kind="app", id=1),
        'package = "pkg"': Removal(kind="package", id="pkg"),
    }.items():
        stored = STORED.merged(parse_catalog(alert.format(target), "stored.toml"))
        with pytest.raises(BillingError, match=f'alert "low" is for it; give the alert another {removal.kind} first'):
            plan_removal(stored, removal, Billed())
    with pytest.raises(BillingError, match='account "beta": webhook "h" is for it; give the webhook another account'):
        plan_removal(STORED.merged(parse_catalog(hook, "stored.toml")), Removal(kind="account", id="beta"), Billed())
