"""Laws of the catalog: what was read can be written, stored and read again, and means the same."""

import tomllib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.alerts import EVENTS
from billing.catalog.canonical import applied_source, catalog_after, catalog_toml
from billing.catalog.catalog import KINDS, Catalog
from billing.catalog.items import FEES, ITEMS, VIDEO_ITEMS
from billing.catalog.policies import policy_from_source, policy_source
from billing.catalog.reading import parse_catalog, read_catalog
from billing.ledger.catalog_store import apply, load_catalog
from billing.ledger.database import Engine, open_database, upgrade, writing
from billing.money import plain

# Lone surrogates are no text of a file.
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff")
NAMES = st.text(CHARACTERS, min_size=1, max_size=20).map(str.strip).filter(bool)
ADDRESSES = st.lists(NAMES, min_size=1, max_size=3).map("\n".join)
DAYS = st.dates(date(1970, 1, 1), date(2999, 12, 31))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(2000, 1, 2), datetime(2999, 12, 30), timezones=OFFSETS | st.just(UTC))  # noqa: DTZ001
PRICES = st.decimals(0, 600_000, places=8).map(plain) | st.integers(0, 600_000)
PRICES_BY_ITEM = st.dictionaries(st.sampled_from([each for each in ITEMS if each not in FEES]), PRICES, min_size=1)
VIDEO = st.lists(st.sampled_from(VIDEO_ITEMS), unique=True, min_size=1).map(
    lambda items: sorted(items, key=ITEMS.index)
)


def either(value: Any) -> st.SearchStrategy[Any]:
    """A day or an instant in TOML's own notation or as text."""
    return st.sampled_from([value, value.isoformat()])


@st.composite
def versions(draw: st.DrawFn) -> dict[str, Any]:
    items = draw(VIDEO)
    tops = sorted(draw(st.sets(st.integers(1, 2**53), min_size=len(items) - 1, max_size=len(items) - 1)))
    billed = ["audio", *items]
    ratios = st.fixed_dictionaries(dict.fromkeys(billed, st.integers(1, 1_000_000)))
    prices = st.dictionaries(st.sampled_from(["USD", "JPY"]), st.fixed_dictionaries(dict.fromkeys(billed, PRICES)))
    sizes = st.dictionaries(st.integers(1, 10**12).map(str), PRICES)
    return draw(
        st.fixed_dictionaries(
            {
                "method": st.sampled_from(["aggregate", "per_stream"]),
                "tiers": st.just(
                    [*({"item": i, "top_area": t} for i, t in zip(items, tops, strict=False)), {"item": items[-1]}]
                ),
                "ratios": ratios,
                "free_minutes": st.integers(0, 10**12),
            },
            optional={
                "free_ratios": ratios,
                "prices": prices,
                "package_prices": st.dictionaries(st.just("USD"), sizes),
            },
        )
    )


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    days = sorted(draw(st.sets(DAYS, min_size=1, max_size=3)))
    found = [{"valid_from": draw(either(day)), **draw(versions())} for day in days]
    return {"id": draw(NAMES), "name": draw(NAMES), "version": found}


ACCOUNTS = st.fixed_dictionaries(
    {
        "id": NAMES,
        "name": NAMES,
        "currency": st.sampled_from(["USD", "JPY"]),
        "timezone": st.sampled_from(["UTC", "Asia/Tokyo"]),
        "policy": NAMES,
    },
    optional={
        "free_minutes": st.integers(0, 10**12),
        "address": ADDRESSES,
        "seller": NAMES,
        "tax": NAMES,
        "overdue_policy": NAMES,
        "pay_as_you_go": st.booleans(),
        "language": st.sampled_from(["en", "ja", "zh"]),
        "mode": st.sampled_from(["invoice", "prepaid"]),
        "invoices_from": DAYS.map(lambda day: f"{day:%Y-%m}") | DAYS.map(lambda day: day.replace(day=1)),
        "country": st.sampled_from(["US", "CH", "SG"]),
        "tax_id": NAMES,
        "terms_days": st.integers(0, 3650),
    },
)
SIZES = st.tuples(st.integers(1, 16384), st.integers(1, 16384)).map(lambda sides: f"{sides[0]}x{sides[1]}")
SUBSCRIBE = st.sampled_from(["all", "none"])
ASSUME = st.fixed_dictionaries(
    {},
    optional={
        "camera": SIZES,
        "screen": SIZES,
        "subscribe": SUBSCRIBE,
        "kinds": st.dictionaries(NAMES, SUBSCRIBE, max_size=3),
    },
)
FEEDS = st.lists(st.integers(1, 9).map(lambda number: f"trtc:{number}"), min_size=1, max_size=3, unique=True)
APPS = st.fixed_dictionaries(
    {"id": st.integers(1, 2**53), "account": NAMES, "name": NAMES},
    optional={"feed": FEEDS, "assume": ASSUME},
)
CHARGES = st.sampled_from(["invoice", "prepaid", "external"])
PACKAGES = st.fixed_dictionaries(
    {
        "id": NAMES.map(lambda name: f"pkg {name}"),
        "account": NAMES,
        "minutes": st.integers(1, 10**12),
        "purchased_at": INSTANTS.flatmap(either),
    },
    optional={
        "app": st.integers(1, 2**53),
        "price": PRICES,
        "term": st.sampled_from(["year", "month"]),
        "charge": CHARGES,
    },
)
CONTRACTS = st.fixed_dictionaries(
    {"account": NAMES, "valid_from": DAYS.flatmap(either), "prices": PRICES_BY_ITEM},
    optional={"discount": st.decimals(Decimal("0.00000001"), 1, places=8).map(plain)},
)


PREFIXES = st.text(CHARACTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
SERIES = st.fixed_dictionaries(
    {"prefix": PREFIXES},
    optional={
        "format": st.sampled_from(["{prefix}-{year}-{seq:06}", "{year}/{seq}{prefix}", "№{prefix}{seq:03}{year}"]),
        "reset": st.sampled_from(["year", "never"]),
    },
)
TAX_ID_AND_COUNTRY = {"country": st.sampled_from(["US", "CH", "SG"]), "tax_id": NAMES}
TERMS_DAYS = st.integers(0, 3650)
SELLERS = st.fixed_dictionaries(
    {"id": NAMES, "name": NAMES},
    optional={
        "address": ADDRESSES,
        **TAX_ID_AND_COUNTRY,
        "timezone": st.sampled_from(["UTC", "Asia/Tokyo"]),
        "terms_days": TERMS_DAYS,
        "logo": st.sampled_from(["logo.png", "pictures/große Marke.JPEG"]),
        "bank": ADDRESSES,
        "grace_days": st.integers(0, 365),
        "issue_zero": st.booleans(),
        "invoice": SERIES,
        "credit_note": SERIES,
    },
)
RATES = st.decimals("0.0001", 100, places=4).map(plain) | st.integers(1, 100)
STANDARD = st.fixed_dictionaries({"category": st.just("S"), "rate": RATES})
NO_TAX = st.fixed_dictionaries({"category": st.sampled_from(["AE", "O", "E", "Z", "G"]), "rate": st.just("0")})
TAX_VERSIONS = st.tuples(
    STANDARD | NO_TAX,
    st.fixed_dictionaries(
        {"text": NAMES},
        optional={
            "prices": st.sampled_from(["exclusive", "inclusive"]),
            "rounding": st.sampled_from(["half_up", "up", "down"]),
        },
    ),
).map(lambda parts: parts[0] | parts[1])


@st.composite
def taxes(draw: st.DrawFn) -> dict[str, Any]:
    days = sorted(draw(st.sets(DAYS, min_size=1, max_size=3)))
    return {"id": draw(NAMES), "version": [{"valid_from": draw(either(day)), **draw(TAX_VERSIONS)} for day in days]}


@st.composite
def overdue_policies(draw: st.DrawFn) -> dict[str, Any]:
    """Later and later; some steps count from the one before."""
    states = draw(st.permutations(["reminded", "suspended", "reclaimable"]))[: draw(st.integers(1, 3))]
    steps = []
    for number, state in enumerate(states):
        step = {"state": state, "after": draw(st.sampled_from([f"P{number}D", f"P{number}DT5H"]))}
        if number and draw(st.booleans()):
            step["from"] = states[number - 1]
        flags = st.fixed_dictionaries({}, optional={"notice": st.booleans(), "admit": st.booleans()})
        steps.append(step | draw(flags))
    basis = draw(st.sampled_from([{}, {"basis": "balance"}, {"basis": "due_on"}]))
    return {"id": draw(NAMES.map(lambda name: f"own {name}")), **basis, "steps": steps}


PERCENTAGES = st.decimals("0.01", 1000, places=2).map(lambda number: f"{plain(number)}%")
AMOUNTS = st.integers(1, 10**12) | st.decimals(1, 10**6, places=8).map(plain)
ALERTS = st.fixed_dictionaries(
    {
        "id": NAMES,
        "account": NAMES,
        "metric": st.sampled_from(["minutes", "spend"]),
        "limit": PRICES.filter(lambda price: Decimal(price) > 0),
        "thresholds": st.lists(PERCENTAGES | AMOUNTS, min_size=1, max_size=3, unique_by=lambda each: plain_text(each)),
    },
    optional={"app": st.integers(1, 2**53), "period": st.sampled_from(["day", "month"])},
)
WEBHOOKS = st.fixed_dictionaries(
    {"id": NAMES, "url": st.sampled_from(["https://example.com", "https://[2001:db8::1]:8443/a?b=%20c"])},
    optional={
        "events": st.lists(st.sampled_from(EVENTS), unique=True, max_size=3),
        "account": NAMES,
        "allow_private": st.booleans(),
    },
).flatmap(lambda table: st.sampled_from([{**table, "secret_file": "a b.txt"}, {**table, "secret_env": "HOOK_1"}]))


def plain_text(threshold: object) -> str:
    """So that no two thresholds are the same number."""
    text = str(threshold)
    return text if text.endswith("%") else plain(Decimal(text))


def entries(entry: st.SearchStrategy[dict[str, Any]], *key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(entry, max_size=3, unique_by=lambda table: tuple(str(table[name]) for name in key))


CATALOGS = st.fixed_dictionaries(
    {},
    optional={
        "seller": entries(SELLERS, "id") | SELLERS.map(lambda table: {**table, "id": "seller"}),
        "tax": entries(taxes(), "id"),
        "overdue_policy": entries(overdue_policies(), "id"),
        "policy": entries(policies(), "id"),
        "account": entries(ACCOUNTS, "id"),
        "app": entries(APPS, "id"),
        "package": entries(PACKAGES, "id"),
        "contract": entries(CONTRACTS, "account", "valid_from"),
        "alert": entries(ALERTS, "id"),
        "webhook": entries(WEBHOOKS, "id"),
    },
).map(lambda tables: read_catalog(tables, "catalog.toml"))


@given(CATALOGS)
def test_what_is_shown_can_be_applied_and_changes_nothing(catalog: Catalog) -> None:
    text = catalog_toml(catalog)
    assert parse_catalog(text, "catalog.toml") == catalog
    assert catalog_toml(parse_catalog(text, "catalog.toml")) == text
    assert set(tomllib.loads(text)) <= set(KINDS)


@st.composite
def linked(draw: st.DrawFn) -> Catalog:
    """A catalog whose references lead somewhere: one account, and everything that invoices of it need."""
    sellers = draw(st.lists(SELLERS, min_size=1, max_size=2, unique_by=lambda table: table["id"]))
    for number, seller in enumerate(sellers):
        seller.update(invoice={"prefix": f"I{number}"}, credit_note={"prefix": f"C{number}", "reset": "year"})
    tax = draw(taxes().filter(lambda table: all(version["category"] != "AE" for version in table["version"])))
    policy = draw(overdue_policies())
    account = draw(ACCOUNTS) | {"policy": "trtc-intl", "currency": "USD", "seller": sellers[0]["id"]}
    account.update(tax=tax["id"], overdue_policy=policy["id"])
    of_account = {"account": account["id"]}
    packages = [
        {"price": 1, "charge": "external", **table, **of_account}
        for table in draw(st.lists(PACKAGES, max_size=2, unique_by=lambda table: table["id"]))
        if "app" not in table
    ]
    alerts = [draw(ALERTS) | of_account]
    alerts[0].pop("app", None)
    tables = {"seller": sellers, "tax": [tax], "overdue_policy": [policy], "account": [account], "package": packages}
    return read_catalog({**tables, "alert": alerts, "webhook": [draw(WEBHOOKS) | of_account]}, "catalog.toml")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    file = tmp_path_factory.mktemp("laws") / "billing.db"
    upgrade(file)
    return open_database(file)


@given(linked())
def test_what_is_in_the_database_is_what_was_applied(engine: Engine, catalog: Catalog) -> None:
    """Applied again, shown and applied, or read from the changes, it is the same; nothing of it stays for the next."""
    with writing(engine) as conn:
        assert {change.action for change in apply(conn, catalog, applied_at_ms=1)} == {"added"}
        stored = load_catalog(conn)
        assert stored == catalog.resolved(Catalog()) == load_catalog(conn, as_of_ms=1)
        for again in (catalog, parse_catalog(catalog_toml(stored), "shown.toml")):
            assert {change.action for change in apply(conn, again, applied_at_ms=2)} == {"unchanged"}
        assert load_catalog(conn) == stored
        conn.rollback()


@given(CATALOGS)
def test_what_is_stored_is_read_back_as_it_was(catalog: Catalog) -> None:
    source = applied_source(catalog)
    assert source.isascii()
    assert catalog_after([source]) == catalog
    assert applied_source(catalog_after([source])) == source


@given(st.lists(CATALOGS, max_size=4))
def test_the_catalog_of_a_moment_is_all_that_was_applied_until_then(catalogs: list[Catalog]) -> None:
    expected = Catalog()
    for catalog in catalogs:
        expected = expected.merged(catalog)
    assert catalog_after(map(applied_source, catalogs)) == expected


@given(policies())
def test_a_policy_keeps_its_hash_on_every_way(table: dict[str, Any]) -> None:
    (policy,) = read_catalog({"policy": [table]}, "catalog.toml").policies.values()
    assert policy_from_source(policy_source(policy)).hash == policy.hash
    shown = catalog_toml(Catalog(policies={policy.id: policy}))
    assert parse_catalog(shown, "catalog.toml").policies[policy.id].hash == policy.hash
