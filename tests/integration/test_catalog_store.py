"""The catalog in a real database: what is read back, what changes from when, and what is billed already."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Connection, Engine, select

from billing.catalog.catalog import Catalog, Removal
from billing.catalog.changes import Change
from billing.catalog.reading import parse_catalog
from billing.catalog.sellers import Seller
from billing.errors import BillingError, UsageError
from billing.ledger import tables
from billing.ledger.catalog_store import Terms, apply, load_catalog, plan, remove, terms_history, terms_on
from billing.ledger.database import reading, writing
from billing.ledger.runs import insert_run
from tests.integration.days import ACME, CLASSROOM, FIRST, apply_catalog, charge, day_bill, run, settle

OWN_POLICY = """
[[policy]]
id = "flat"
name = "Flat"
[[policy.version]]
valid_from = 2026-01-01
method = "aggregate"
tiers = [{ item = "hd" }]
free_minutes = 100
ratios = { audio = 1, hd = 2 }
prices.USD = { audio = "1", hd = "2.00" }
"""
EVERYTHING = (
    ACME
    + OWN_POLICY
    + """
[seller]
name = "RTC Ltd"
address = "1 Harbour Road"

[[package]]
id = "pkg-2"
account = "acme"
app = 1400000001
minutes = 1000
purchased_at = "2026-03-01T23:30:00Z"

[[contract]]
account = "acme"
valid_from = "2026-03-01"
discount = "0.85"

[contract.prices]
hd = "3.125"
"""
)


def _stored(engine: Engine) -> Catalog:
    with reading(engine) as conn:
        return load_catalog(conn)


def _refusal(engine: Engine, text: str) -> str:
    """The message with which a catalog is refused; planning and applying say the same, and nothing is changed."""
    before = _stored(engine)
    new = parse_catalog(text, "catalog.toml")
    with pytest.raises(BillingError) as planned, reading(engine) as conn:
        plan(conn, new)
    with pytest.raises(BillingError) as applied, writing(engine) as conn:
        apply(conn, new, applied_at_ms=0)
    assert str(applied.value) == str(planned.value)
    assert _stored(engine) == before
    return str(planned.value)


def _meant(text: str) -> Catalog:
    """What a file says when it is the first one."""
    return parse_catalog(text, "catalog.toml").resolved(Catalog())


def _remove(engine: Engine, removal: Removal) -> Change:
    with writing(engine) as conn:
        return remove(conn, removal, removed_at_ms=0)


def _settle_first_day(engine: Engine) -> None:
    settle(engine, day_bill(run(), free_grant=10_000))


def _terms(conn: Connection, account_id: str, day: date) -> Terms:
    return terms_on(terms_history(conn, account_id), day)


def test_a_catalog_is_read_back_as_it_was_applied(engine: Engine) -> None:
    apply_catalog(engine, EVERYTHING)
    assert _stored(engine) == _meant(EVERYTHING)


def test_the_first_time_everything_is_added_and_the_second_time_nothing_changes(engine: Engine) -> None:
    first = apply_catalog(engine, EVERYTHING)
    assert {change.action for change in first} == {"added"}
    assert [(change.kind, change.id) for change in first] == [
        ("seller", "seller"),
        ("policy", "flat"),
        ("account", "acme"),
        ("app", "1400000001"),
        ("package", "pkg-1"),
        ("package", "pkg-2"),
        ("contract", "acme from 2026-03-01"),
    ]
    second = apply_catalog(engine, EVERYTHING)
    assert {change.action for change in second} == {"unchanged"}


def test_a_change_names_the_fields_before_and_after(engine: Engine) -> None:
    apply_catalog(engine, EVERYTHING)
    changed = (
        EVERYTHING.replace('"Acme K.K."', '"Acme Inc."')
        .replace('price = "24.00"', 'price = "20.5"')
        .replace('"0.85"', '"0.8"')
        .replace('hd = "3.125"', 'hd = "3"')
    )
    details = {change.kind: change.detail for change in apply_catalog(engine, changed) if change.action == "changed"}
    assert details == {
        "account": "name: Acme K.K. → Acme Inc.",
        "package": "price: 24 → 20.5",
        "contract": "discount: 0.85 → 0.8; prices: hd 3.125 → hd 3",
    }
    assert _stored(engine) == _meant(changed)


INVOICED = """
[[seller]]
id = "seller"
name = "RTC Ltd"
invoice = { prefix = "R" }

[[tax]]
id = "vat"
version = [{ valid_from = 2020-01-01, category = "S", rate = "7.7", text = "VAT" }]

[[overdue_policy]]
id = "soft"
steps = [{ state = "reminded", after = "P7D", notice = true }]

[[alert]]
id = "budget"
account = "acme"
metric = "spend"
limit = 500
thresholds = ["80%", 400]

[[webhook]]
id = "hook"
url = "https://example.com/"
secret_env = "HOOK_SECRET"
"""
TERMS = """tax = "vat"
overdue_policy = "soft"
mode = "prepaid"
language = "ja"
pay_as_you_go = false
terms_days = 10
country = "SG"
tax_id = "M12345678A"
invoices_from = "2026-03"
"""


def test_an_old_file_applied_again_changes_nothing(engine: Engine) -> None:
    """It says nothing of charges and first months; what was stored is recorded with the change of something else."""
    invoiced = ACME.replace("[[app]]", TERMS + "[[app]]", 1) + INVOICED
    first = apply_catalog(engine, invoiced)
    assert [(change.kind, change.id, change.action) for change in first if change.kind not in ("app", "package")] == [
        ("seller", "seller", "added"),
        ("tax", "vat", "added"),
        ("overdue_policy", "soft", "added"),
        ("account", "acme", "added"),
        ("alert", "budget", "added"),
        ("webhook", "hook", "added"),
    ]
    stored = _stored(engine)
    assert stored == _meant(invoiced)
    assert {package.charge for package in stored.packages.values()} == {"prepaid"}
    old = ACME.replace("[[app]]", TERMS.replace('invoices_from = "2026-03"\n', "") + "[[app]]", 1)
    with reading(engine) as conn:
        assert {change.action for change in plan(conn, parse_catalog(old, "old.toml"))} == {"unchanged"}
    renamed = old.replace('name = "Acme K.K."', 'name = "Acme Inc."').replace('mode = "prepaid"\n', "")
    details = [change.detail for change in apply_catalog(engine, renamed) if change.action == "changed"]
    assert details == ["name: Acme K.K. → Acme Inc.; mode: prepaid → invoice"]
    with reading(engine) as conn:
        assert load_catalog(conn) == load_catalog(conn, as_of_ms=2**53)
        assert load_catalog(conn).accounts["acme"].invoices_from == date(2026, 3, 1)
    assert {package.charge for package in _stored(engine).packages.values()} == {"prepaid"}


def test_a_package_that_is_stored_does_not_become_prepaid(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    message = _refusal(engine, ACME.replace('term = "month"', 'term = "month"\ncharge = "prepaid"'))
    assert (
        'package "pkg-1": its charge cannot become "prepaid", because it was bought with charge "external"' in message
    )


def test_catalogs_of_earlier_versions_have_one_seller_and_packages_billed_elsewhere(engine: Engine) -> None:
    package = '{"account":"a","id":"p","minutes":5,"purchased_at":"2026-03-01T00:00:00+00:00","term":"year"}'
    source = f'{{"applied":{{"package":[{package}],"seller":{{"address":null,"name":"RTC Ltd"}}}},"version":1}}'
    with writing(engine) as conn:
        conn.execute(tables.catalog_change.insert(), {"applied_at_ms": 1, "source": source})
        then = load_catalog(conn, as_of_ms=1)
    assert then.sellers == {"seller": Seller(id="seller", name="RTC Ltd")}
    assert then.packages["p"].charge == "external"


def test_planning_changes_nothing(engine: Engine) -> None:
    with writing(engine) as conn:
        changes = plan(conn, parse_catalog(EVERYTHING, "catalog.toml"))
    assert len(changes) == 7
    assert _stored(engine) == Catalog()


def test_what_a_file_leaves_out_stays(engine: Engine) -> None:
    apply_catalog(engine, EVERYTHING)
    apply_catalog(engine, '[[app]]\nid = 2\naccount = "acme"\nname = "Lobby"\n')
    stored = _stored(engine)
    assert set(stored.apps) == {CLASSROOM, 2}
    assert set(stored.packages) == {"pkg-1", "pkg-2"}


def test_a_reference_may_lead_to_what_is_stored_but_not_into_the_void(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    message = _refusal(engine, '[[app]]\nid = 2\naccount = "acne"\nname = "Lobby"\n')
    assert "app 2: unknown account 'acne'; did you mean 'acme'?" in message


def test_a_package_is_dated_in_the_time_zone_of_its_account(engine: Engine) -> None:
    """Bought on 1 March at 23:30 UTC, which is 2 March in Tokyo."""

    def valid_days() -> tuple[date, date]:
        package = tables.package.c
        with reading(engine) as conn:
            row = conn.execute(select(package.valid_from, package.valid_to).where(package.id == "pkg-2")).one()
        return row.valid_from, row.valid_to

    apply_catalog(engine, EVERYTHING)
    assert valid_days() == (date(2026, 3, 2), date(2027, 3, 31))
    account_alone = ACME.split("[[app]]")[0].replace("Asia/Tokyo", "UTC")
    apply_catalog(engine, account_alone)
    assert valid_days() == (date(2026, 3, 1), date(2027, 3, 31))


def test_new_terms_of_an_unbilled_account_hold_from_the_beginning(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    apply_catalog(engine, ACME.replace("trtc-intl", "trtc-intl-2021"))
    with reading(engine) as conn:
        terms = _terms(conn, "acme", date(2020, 1, 1))
        assert terms == Terms(valid_from=date.min, policy="trtc-intl-2021", free_minutes=None)


def test_new_terms_of_a_billed_account_hold_from_its_first_unbilled_day(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    for free_minutes in (1, 500):
        apply_catalog(engine, ACME.replace('"trtc-intl"', f'"trtc-intl-2021"\nfree_minutes = {free_minutes}'))
    with reading(engine) as conn:
        assert _terms(conn, "acme", FIRST) == Terms(valid_from=date.min, policy="trtc-intl", free_minutes=None)
        next_day = FIRST + timedelta(days=1)
        assert _terms(conn, "acme", next_day) == Terms(valid_from=next_day, policy="trtc-intl-2021", free_minutes=500)
        assert load_catalog(conn).accounts["acme"].policy == "trtc-intl-2021"


def test_terms_of_an_unknown_account_say_how_to_add_it(engine: Engine) -> None:
    with reading(engine) as conn, pytest.raises(UsageError, match='no account "nobody": add it with `billing catalog'):
        _terms(conn, "nobody", FIRST)


@pytest.mark.parametrize(
    ("before", "after", "refusal"),
    [
        ("Asia/Tokyo", "UTC", 'account "acme": its timezone cannot become UTC'),
        (
            'currency = "USD"\ntimezone = "Asia/Tokyo"\npolicy = "trtc-intl"',
            'currency = "CNY"\ntimezone = "Asia/Tokyo"\npolicy = "trtc-cn"',
            'account "acme": its currency cannot become CNY',
        ),
        ("minutes = 25000", "minutes = 26000", 'package "pkg-1": it pays from 2026-03-01 on'),
        ("2026-03-01T18", "2026-03-03T18", 'package "pkg-1": it pays from 2026-03-01 on'),
        ('term = "month"', 'term = "year"', 'package "pkg-1": it pays from 2026-03-01 on'),
        ('account = "acme"\nminutes', 'account = "acme"\napp = 1400000001\nminutes', 'package "pkg-1": it pays'),
    ],
    ids=["time zone", "currency", "minutes", "purchase", "term", "app"],
)
def test_what_a_billed_day_rests_on_cannot_change(engine: Engine, before: str, after: str, refusal: str) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    assert before in ACME
    message = _refusal(engine, ACME.replace(before, after))
    assert message.startswith("this would change what is billed already, so nothing was changed:\n")
    assert refusal in message
    assert "billed" in message.splitlines()[1]
    assert "2026-03-01" in message.splitlines()[1]


def test_what_a_package_cost_may_change_when_it_has_paid(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    apply_catalog(engine, ACME.replace("24.00", "23.00"))


def test_a_new_package_must_begin_after_the_billed_days(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    late = ACME.replace("pkg-1", "pkg-2")
    assert 'package "pkg-2": it would pay from 2026-03-01 on, but account "acme" is billed' in _refusal(engine, late)
    apply_catalog(engine, late.replace("2026-03-01T18", "2026-03-02T00"))


def test_a_contract_must_begin_after_the_billed_days(engine: Engine) -> None:
    contract = '[[contract]]\naccount = "acme"\nvalid_from = "{}"\ndiscount = "{}"\n'
    apply_catalog(engine, ACME + contract.format("2026-03-01", "0.9"))
    _settle_first_day(engine)
    apply_catalog(engine, contract.format("2026-03-01", "0.90"))
    changed = contract.format("2026-03-01", "0.8")
    assert 'contract of "acme" from 2026-03-01: the account is billed up to 2026-03-01' in _refusal(engine, changed)
    apply_catalog(engine, contract.format("2026-03-02", "0.8"))


def test_an_app_moves_only_as_long_as_nothing_of_it_is_billed(engine: Engine) -> None:
    other = ACME.split("[[app]]")[0].replace('"acme"', '"other"')
    apply_catalog(engine, ACME + other)
    moved = f'[[app]]\nid = {CLASSROOM}\naccount = "{{}}"\nname = "Classroom"\n'
    apply_catalog(engine, moved.format("other"))
    apply_catalog(engine, moved.format("acme"))
    settle(engine, day_bill(run(), charges=[charge("audio", seconds=60)]))
    message = _refusal(engine, moved.format("other"))
    assert (
        f'app {CLASSROOM}: it cannot move to account "other", because it is billed to "acme" up to 2026-03-01'
        in message
    )


def test_a_policy_is_fixed_once_a_day_was_billed_with_it(engine: Engine) -> None:
    catalog = OWN_POLICY + ACME.replace("trtc-intl", "flat")
    apply_catalog(engine, catalog)
    cheaper = OWN_POLICY.replace("2.00", "1.50")
    assert [change.action for change in apply_catalog(engine, cheaper)] == ["changed"]
    apply_catalog(engine, OWN_POLICY)
    policy = parse_catalog(OWN_POLICY, "catalog.toml").policies["flat"]
    settle(engine, day_bill(run(policy_id="flat", policy_hash=policy.hash), policy=policy))
    assert 'policy "flat": its rules cannot change, because days up to 2026-03-01 are billed' in _refusal(
        engine, cheaper
    )
    assert [change.action for change in apply_catalog(engine, OWN_POLICY)] == ["unchanged"]


def test_every_refusal_is_named_at_once(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    message = _refusal(engine, ACME.replace("Asia/Tokyo", "UTC").replace("25000", "26000"))
    assert len(message.splitlines()) == 3


def test_the_catalog_of_an_earlier_moment_is_made_of_what_was_stored_not_of_files(engine: Engine) -> None:
    """Applied at 1 and 2 s, removed at 3 s."""
    package = EVERYTHING.split("[[package]]")[0] + "[[package]]" + EVERYTHING.split("[[package]]")[2]
    later = ACME.replace("Acme K.K.", "Acme Inc.")
    with writing(engine) as conn:
        apply(conn, parse_catalog(EVERYTHING, "first.toml"), applied_at_ms=1_000)
        apply(conn, parse_catalog(later, "later.toml"), applied_at_ms=2_000)
        remove(conn, Removal(kind="package", id="pkg-1"), removed_at_ms=3_000)
    with reading(engine) as conn:
        moments = [load_catalog(conn, as_of_ms=at_ms) for at_ms in (999, 1_000, 2_000, 3_000)]
        now = load_catalog(conn)
    first = _meant(EVERYTHING)
    assert moments[0] == Catalog()
    assert moments[1] == first
    assert moments[2] == first.merged(_meant(later))
    assert moments[3] == now
    assert now.packages == _meant(package).packages


def test_what_is_unbilled_can_be_removed_and_added_again(engine: Engine) -> None:
    """An account takes its contracts with it."""
    apply_catalog(engine, EVERYTHING)
    removals = [
        Removal(kind="package", id="pkg-1"),
        Removal(kind="package", id="pkg-2"),
        Removal(kind="app", id=CLASSROOM),
        Removal(kind="account", id="acme"),
    ]
    for removal in removals:
        assert _remove(engine, removal) == Change(kind=removal.kind, id=str(removal.id), action="removed")
    stored = _stored(engine)
    assert (stored.accounts, stored.apps, stored.packages, stored.contracts) == ({}, {}, {}, {})
    assert set(stored.policies) == {"flat"}
    apply_catalog(engine, EVERYTHING)
    assert _stored(engine) == _meant(EVERYTHING)


@pytest.mark.parametrize(
    ("removal", "reason"),
    [
        (Removal(kind="account", id="acme"), 'account "acme": it is billed up to 2026-03-01'),
        (Removal(kind="app", id=CLASSROOM), f"app {CLASSROOM}: it is billed up to 2026-03-01"),
        (Removal(kind="package", id="pkg-1"), 'package "pkg-1": it pays from 2026-03-01 on, and that is billed up to'),
    ],
    ids=lambda value: value.kind if isinstance(value, Removal) else "",
)
def test_what_is_billed_stays(engine: Engine, removal: Removal, reason: str) -> None:
    apply_catalog(engine, ACME)
    settle(engine, day_bill(run(), charges=[charge("audio", seconds=60)]))
    before = _stored(engine)
    with pytest.raises(BillingError, match=f"^the {removal.kind} cannot be removed:\n{reason}"):
        _remove(engine, removal)
    assert _stored(engine) == before


def test_a_package_that_pays_from_an_unbilled_day_on_can_be_removed(engine: Engine) -> None:
    apply_catalog(engine, ACME)
    _settle_first_day(engine)
    apply_catalog(engine, ACME.replace("pkg-1", "pkg-2").replace("2026-03-01T18", "2026-03-02T18"))
    _remove(engine, Removal(kind="package", id="pkg-2"))
    assert set(_stored(engine).packages) == {"pkg-1"}


def test_what_others_refer_to_stays(engine: Engine) -> None:
    apply_catalog(engine, EVERYTHING)
    with pytest.raises(BillingError) as refused:
        _remove(engine, Removal(kind="account", id="acme"))
    assert str(refused.value).splitlines() == [
        "the account cannot be removed:",
        f'account "acme": app {CLASSROOM} belongs to it; remove the app first, or move it to another account',
        'account "acme": package "pkg-1" belongs to it; remove the package first',
        'account "acme": package "pkg-2" belongs to it; remove the package first',
    ]
    with pytest.raises(BillingError, match=f'app {CLASSROOM}: package "pkg-2" is for it'):
        _remove(engine, Removal(kind="app", id=CLASSROOM))


@pytest.mark.parametrize("removal", [Removal(kind="account", id="acne"), Removal(kind="package", id="pkg-3")])
def test_to_remove_what_does_not_exist_is_a_wrong_command(engine: Engine, removal: Removal) -> None:
    apply_catalog(engine, ACME)
    with pytest.raises(UsageError, match=f"unknown {removal.kind} '{removal.id}'; did you mean"):
        _remove(engine, removal)


def test_an_account_with_runs_on_record_stays(engine: Engine) -> None:
    """Also when all of them failed."""
    apply_catalog(engine, ACME.split("[[app]]")[0])
    with writing(engine) as conn:
        insert_run(conn, replace(run(), result="failed"))
    with pytest.raises(BillingError, match='account "acme": runs of it are on record'):
        _remove(engine, Removal(kind="account", id="acme"))
