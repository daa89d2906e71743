"""Laws of the catalog: what was read can be written, stored and read again, and means the same."""

import tomllib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.catalog.canonical import applied_source, catalog_after, catalog_toml
from billing.catalog.catalog import Catalog
from billing.catalog.items import ITEMS
from billing.catalog.policies import policy_from_source, policy_source
from billing.catalog.reading import parse_catalog, read_catalog
from billing.money import plain

# Lone surrogates are no text of a file.
CHARACTERS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff")
NAMES = st.text(CHARACTERS, min_size=1, max_size=20).map(str.strip).filter(bool)
ADDRESSES = st.lists(NAMES, min_size=1, max_size=3).map("\n".join)
DAYS = st.dates(date(1970, 1, 1), date(2999, 12, 31))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(2000, 1, 2), datetime(2999, 12, 30), timezones=OFFSETS | st.just(UTC))  # noqa: DTZ001
PRICES = st.decimals(0, 600_000, places=8).map(plain) | st.integers(0, 600_000)
PRICES_BY_ITEM = st.dictionaries(st.sampled_from(ITEMS), PRICES, min_size=1)
VIDEO = st.lists(st.sampled_from(ITEMS[1:]), unique=True, min_size=1).map(lambda items: sorted(items, key=ITEMS.index))


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
    optional={"free_minutes": st.integers(0, 10**12), "address": ADDRESSES},
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
PACKAGES = st.fixed_dictionaries(
    {
        "id": NAMES.map(lambda name: f"pkg {name}"),
        "account": NAMES,
        "minutes": st.integers(1, 10**12),
        "purchased_at": INSTANTS.flatmap(either),
    },
    optional={"app": st.integers(1, 2**53), "price": PRICES, "term": st.sampled_from(["year", "month"])},
)
CONTRACTS = st.fixed_dictionaries(
    {"account": NAMES, "valid_from": DAYS.flatmap(either), "prices": PRICES_BY_ITEM},
    optional={"discount": st.decimals(Decimal("0.00000001"), 1, places=8).map(plain)},
)


def entries(entry: st.SearchStrategy[dict[str, Any]], *key: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(entry, max_size=3, unique_by=lambda table: tuple(str(table[name]) for name in key))


CATALOGS = st.fixed_dictionaries(
    {},
    optional={
        "seller": st.fixed_dictionaries({"name": NAMES}, optional={"address": ADDRESSES}),
        "policy": entries(policies(), "id"),
        "account": entries(ACCOUNTS, "id"),
        "app": entries(APPS, "id"),
        "package": entries(PACKAGES, "id"),
        "contract": entries(CONTRACTS, "account", "valid_from"),
    },
).map(lambda tables: read_catalog(tables, "catalog.toml"))


@given(CATALOGS)
def test_what_is_shown_can_be_applied_and_changes_nothing(catalog: Catalog) -> None:
    text = catalog_toml(catalog)
    assert parse_catalog(text, "catalog.toml") == catalog
    assert catalog_toml(parse_catalog(text, "catalog.toml")) == text
    assert set(tomllib.loads(text)) <= {"seller", "policy", "account", "app", "package", "contract"}


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
