"""Reading a catalog: what it may say, and every mistake in one go."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.catalog.catalog import Account, App, Catalog, known_policies
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.catalog.sellers import Seller
from billing.errors import BillingError

ACME = """
[seller]
name = "Rooms Ltd"
address = "1 Harbour Street\\nPort Louis"

[[account]]
id = "acme"
name = "Acme K.K."
currency = "USD"
timezone = "Asia/Tokyo"
policy = "trtc-intl"
free_minutes = 500
address = '''
2-1 Marunouchi
Tokyo
'''

[[app]]
id = 1400000001
account = "acme"
name = "Classroom"

[[package]]
id = "pkg-1"
account = "acme"
app = 1400000001
minutes = 25000
purchased_at = "2026-03-01T18:00:00+09:00"
price = "24.00"
term = "month"

[[contract]]
account = "acme"
valid_from = "2026-03-01"
discount = "0.85"
prices = { hd = "3.00" }
"""
BETA = """
[[account]]
id = "beta"
name = "Beta"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
"""
HOUSE = """
[[policy]]
id = "house"
name = "House rules"
[[policy.version]]
valid_from = 2026-01-01
method = "aggregate"
tiers = [{ item = "hd" }]
ratios = { audio = 1, hd = 4 }
free_minutes = 0
prices.EUR = { audio = "0.90", hd = "3.60" }
"""


def mistakes(text: str) -> list[str]:
    """The lines after the first of what is said about a catalog that is refused."""
    with pytest.raises(BillingError) as refused:
        parse_catalog(text, "catalog.toml")
    return str(refused.value).splitlines()[1:]


def dangling(text: str) -> list[str]:
    """The same for a catalog that can be read, but whose references lead nowhere."""
    catalog = parse_catalog(text, "catalog.toml")
    with pytest.raises(BillingError) as refused:
        check_catalog(catalog)
    return str(refused.value).splitlines()[1:]


def test_a_catalog_is_read_whole() -> None:
    catalog = parse_catalog(ACME, "catalog.toml")
    check_catalog(catalog)
    rooms = Seller(id="seller", name="Rooms Ltd", address="1 Harbour Street\nPort Louis")
    assert catalog.sellers == {"seller": rooms}
    assert catalog.accounts == {
        "acme": Account(
            id="acme",
            name="Acme K.K.",
            currency="USD",
            timezone="Asia/Tokyo",
            policy="trtc-intl",
            free_minutes=500,
            address="2-1 Marunouchi\nTokyo",
        )
    }
    assert catalog.apps == {1400000001: App(id=1400000001, account="acme", name="Classroom")}
    package = catalog.packages["pkg-1"]
    assert (package.app, package.minutes, package.price, package.term) == (1400000001, 25_000, Decimal(24), "month")
    assert package.purchased_at.isoformat() == "2026-03-01T18:00:00+09:00"
    contract = catalog.contracts["acme", date(2026, 3, 1)]
    assert (contract.discount, contract.prices) == (Decimal("0.85"), {"hd": Decimal(3)})


def test_what_is_left_out_has_its_default() -> None:
    """A package is for a year and the whole account, at no stated price; free minutes are the policy's."""
    package = '[[package]]\nid = "p"\naccount = "beta"\nminutes = 1\npurchased_at = "2026-03-01T00:00:00Z"\n'
    catalog = parse_catalog(BETA + package, "catalog.toml")
    assert (catalog.packages["p"].term, catalog.packages["p"].app, catalog.packages["p"].price) == ("year", None, None)
    assert catalog.accounts["beta"].free_minutes is None
    assert catalog.sellers == {}


def test_free_minutes_may_be_none_at_all() -> None:
    """0 is a number of free minutes; absent means the policy's."""
    assert parse_catalog(BETA + "free_minutes = 0", "catalog.toml").accounts["beta"].free_minutes == 0


def test_an_empty_catalog_is_a_catalog() -> None:
    assert parse_catalog("# nothing yet\n", "catalog.toml") == Catalog()


def test_names_may_be_any_text_of_one_line() -> None:
    """Formulas, quotes and ideographic spaces are text."""
    for name in ("=1+1", "+1", "-1", "@x", "株式会社　アクメ", 'say "hi"', "🙂"):
        text = BETA.replace('"Beta"', f"'{name}'")
        assert parse_catalog(text, "catalog.toml").accounts["beta"].name == name


@pytest.mark.parametrize(
    "written", ['"2026-03-01T18:00:00+09:00"', "2026-03-01T18:00:00+09:00", "2026-03-01T09:00:00Z"]
)
def test_a_time_of_purchase_is_text_or_a_date_time_with_its_offset(written: str) -> None:
    catalog = parse_catalog(ACME.replace('"2026-03-01T18:00:00+09:00"', written), "catalog.toml")
    assert catalog.packages["pkg-1"].purchased_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert catalog.packages["pkg-1"].purchased_at.utcoffset() in (timedelta(0), timedelta(hours=9))


def test_a_first_day_is_text_or_a_date() -> None:
    as_date = ACME.replace('valid_from = "2026-03-01"', "valid_from = 2026-03-01")
    assert parse_catalog(as_date, "catalog.toml") == parse_catalog(ACME, "catalog.toml")


def test_a_price_may_be_a_whole_number() -> None:
    assert parse_catalog(ACME.replace('"24.00"', "24"), "catalog.toml").packages["pkg-1"].price == 24


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "Acme K.K."\n', "", '[[account]] #1 "acme": name: is missing'),
        (
            'timezone = "Asia/Tokyo"',
            'timezone = "Asia/Tokio"',
            "[[account]] #1 \"acme\": timezone: unknown time zone 'Asia/Tokio': "
            "give an IANA name such as Asia/Tokyo or UTC",
        ),
        (
            '"Asia/Tokyo"',
            '"localtime"',
            "[[account]] #1 \"acme\": timezone: unknown time zone 'localtime': give",
        ),
        ('"Asia/Tokyo"', '"Factory"', "[[account]] #1 \"acme\": timezone: unknown time zone 'Factory': give an IANA"),
        ('"Asia/Tokyo"', '"posixrules"', "[[account]] #1 \"acme\": timezone: unknown time zone 'posixrules': give"),
        ('"Asia/Tokyo"', '"right/Asia/Tokyo"', '[[account]] #1 "acme": timezone: unknown time zone \'right/Asia'),
        (
            "timezone =",
            "time_zone =",
            "[[account]] #1 \"acme\": unknown key 'time_zone'; did you mean 'timezone'?",
        ),
        ('"USD"', '"usd"', "[[account]] #1 \"acme\": currency: currency 'usd' is not a three-letter ISO 4217 code"),
        (
            "free_minutes = 500",
            "free_minutes = -1",
            '[[account]] #1 "acme": free_minutes: -1 is too small; write 0 or more',
        ),
        (
            "free_minutes = 500",
            'free_minutes = "many"',
            "[[account]] #1 \"acme\": free_minutes: 'many' is not a whole number",
        ),
        ('id = "acme"', 'id = ""', '[[account]] #1 "": id: must have 1 to 128 characters'),
        ('id = "acme"', f'id = "{"x" * 129}"', "[[account]] #1: id: must have 1 to 128 characters"),
        ('id = "acme"', 'id = " acme"', '[[account]] #1 " acme": id: must have 1 to 128 characters, without spaces'),
        ('id = "acme"', 'id = "ac\\nme"', "[[account]] #1: id: must not have control characters or line breaks"),
        ('"Acme K.K."', '"Acme\\u0007"', '[[account]] #1 "acme": name: must not have control characters'),
        ('"1 Harbour Street\\n', '"\\u0001\\n', "[seller]: address: must have 1 to 1024 characters"),
        ('name = "Rooms Ltd"', "", "[seller]: name: is missing"),
        ("id = 1400000001", "id = 0", "[[app]] #1 0: id: 0 is too small; write 1 or more"),
        (
            "id = 1400000001",
            "id = 9007199254740993",
            "[[app]] #1 9007199254740993: id: 9007199254740993 is too large; write 9007199254740992 or less",
        ),
        ("id = 1400000001", 'id = "1400000001"', "[[app]] #1 \"1400000001\": id: '1400000001' is not a whole number"),
        ("id = 1400000001", "id = true", "[[app]] #1: id: true is not a whole number"),
        ("minutes = 25000", "minutes = 0", '[[package]] #1 "pkg-1": minutes: 0 is too small; write 1 or more'),
        ("minutes = 25000", "minutes = 25000.0", '[[package]] #1 "pkg-1": minutes: 25000.0 is not a whole number'),
        (
            '"2026-03-01T18:00:00+09:00"',
            '"2026-03-01T18:00:00"',
            "[[package]] #1 \"pkg-1\": purchased_at: '2026-03-01T18:00:00' is not an RFC 3339 time with offset",
        ),
        (
            '"2026-03-01T18:00:00+09:00"',
            "2026-03-01T18:00:00",
            '[[package]] #1 "pkg-1": purchased_at: 2026-03-01T18:00:00 has no offset; write a time such as',
        ),
        (
            '"2026-03-01T18:00:00+09:00"',
            "2026-03-01",
            '[[package]] #1 "pkg-1": purchased_at: 2026-03-01 is not a time with offset such as',
        ),
        (
            '"2026-03-01T18:00:00+09:00"',
            '"0206-03-01T18:00:00+09:00"',
            '[[package]] #1 "pkg-1": purchased_at: the year 206 is not from 2000 to 2999',
        ),
        (
            '"24.00"',
            "24.00",
            '[[package]] #1 "pkg-1": price: 24.0 is a floating-point number, which is not exact; '
            'write it in quotes: "24.0"',
        ),
        ('"24.00"', '"-1"', "[[package]] #1 \"pkg-1\": price: '-1' is not a decimal number in quotes"),
        ('"24.00"', '"24 USD"', "[[package]] #1 \"pkg-1\": price: '24 USD' is not a decimal number in quotes"),
        ('"24.00"', "-1", '[[package]] #1 "pkg-1": price: -1 is not from 0 to 1000000000'),
        ('"24.00"', '"1e3"', "[[package]] #1 \"pkg-1\": price: '1e3' is not a decimal number in quotes"),
        ('"month"', '"week"', "[[package]] #1 \"pkg-1\": term: 'week' is not 'year' or 'month'"),
        (
            'id = "pkg-1"',
            'id = "free-2026-03"',
            "[[package]] #1 \"free-2026-03\": id: 'free-2026-03' is the name of a month's free minutes",
        ),
        ('"0.85"', '"1.5"', '[[contract]] #1 "acme": discount: 1.5 is not above 0 and at most 1; 15 % off is written'),
        ('"0.85"', '"0"', '[[contract]] #1 "acme": discount: 0 is not above 0 and at most 1'),
        ('"0.85"', "0.85", '[[contract]] #1 "acme": discount: 0.85 is a floating-point number'),
        ("hd =", "hdd =", "[[contract]] #1 \"acme\": prices: unknown key 'hdd'; did you mean 'hd'?"),
        ('"3.00"', '"600000.01"', '[[contract]] #1 "acme": prices.hd: 600000.01 is not from 0 to 600000'),
        ('"3.00"', '"3.000000001"', '[[contract]] #1 "acme": prices.hd: 3.000000001 has more than 8 decimals'),
        (
            'discount = "0.85"\nprices = { hd = "3.00" }',
            "",
            '[[contract]] #1 "acme": gives neither a discount nor prices; write discount = "0.85" or',
        ),
        (
            'valid_from = "2026-03-01"',
            "valid_from = 2026-03-01T00:00:00Z",
            '[[contract]] #1 "acme": valid_from: 2026-03-01 00:00:00+00:00 is not a day such as 2026-03-01',
        ),
        ("[[app]]", "[[apps]]", "unknown table 'apps'; did you mean 'app'?"),
        ("[[app]]", "[app]", "[app]: write [[app]], with two brackets, once for each app"),
        ("[seller]", "[[seller]]", "[[seller]] #1: id: is missing"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_way_out(old: str, new: str, said: str) -> None:
    assert old in ACME
    assert mistakes(ACME.replace(old, new, 1))[0].startswith(said)


def test_all_mistakes_are_named_at_once() -> None:
    """Four in three tables, each on its own line, below what they mean together."""
    with pytest.raises(BillingError) as refused:
        parse_catalog('[[account]]\nid = 7\n[[app]]\nid = "x"\n[extra]\n', "acme.toml")
    assert str(refused.value).splitlines() == [
        "acme.toml has 9 mistakes, and nothing was changed:",
        "unknown table 'extra'; known here: seller, tax, overdue_policy, policy, account, app, package, contract, "
        "alert, webhook",
        "[[account]] #1 7: id: 7 is not text in quotes",
        "[[account]] #1 7: name: is missing",
        "[[account]] #1 7: currency: is missing",
        "[[account]] #1 7: timezone: is missing",
        "[[account]] #1 7: policy: is missing",
        "[[app]] #1 \"x\": id: 'x' is not a whole number",
        '[[app]] #1 "x": account: is missing',
        '[[app]] #1 "x": name: is missing',
    ]


def test_a_mistake_does_not_hide_those_after_it() -> None:
    """In the second and third of three apps; a name of 128 characters still says which."""
    app = '[[app]]\nid = {}\naccount = "{}"\nname = "Lobby"\n'
    found = mistakes(app.format(1, "acme") + app.format(-2, "acme") + app.format('"x"', "acme"))
    assert [line.split(": ")[0] for line in found] == ["[[app]] #2 -2", '[[app]] #3 "x"']
    for length, shown in ((128, f' "{"x" * 128}"'), (129, "")):
        [line, *_] = mistakes(f'[[account]]\nid = "{"x" * length}"\n')
        assert line.startswith(f"[[account]] #1{shown}: ")


@pytest.mark.parametrize(
    "text",
    ["[[account]\n", "id = \n", "a = 1\na = 2\n", "\x00\x01", "x = " + "[" * 100_000, "x = " + "1" * 5_000],
    ids=["bracket", "no value", "twice", "binary", "deep", "long number"],
)
def test_what_is_not_toml_is_one_clear_line(text: str) -> None:
    with pytest.raises(BillingError, match=r"^catalog.toml is not TOML: [^\n]+$"):
        parse_catalog(text, "catalog.toml")


def test_a_toml_mistake_is_given_with_its_line() -> None:
    with pytest.raises(BillingError, match="at line 3"):
        parse_catalog('[[account]]\nid = "acme"\nname = Acme\n', "catalog.toml")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("account", '[[account]] #2 "acme": is the same account as #1'),
        ("app", "[[app]] #2 1400000001: is the same app as #1"),
        ("package", '[[package]] #2 "pkg-1": is the same package as #1'),
        ("contract", '[[contract]] #2 "acme": is the same contract as #1'),
    ],
)
def test_the_same_thing_twice_is_a_mistake(table: str, said: str) -> None:
    """Of contracts: the same account and first day."""
    start = ACME.index(f"[[{table}]]")
    end = ACME.find("\n[[", start)
    again = ACME[start : end if end > 0 else None]
    [line] = mistakes(f"{ACME}\n{again}")
    assert line.startswith(said)


def test_own_policies_are_read_and_known_besides_the_built_in_ones() -> None:
    catalog = parse_catalog(HOUSE + BETA.replace("trtc-intl", "house").replace("USD", "EUR"), "catalog.toml")
    check_catalog(catalog)
    trtc = {"trtc-intl", "trtc-intl-2021", "trtc-cn"}
    others = {"agora-2025", "alibaba-artc", "byteplus", "livekit-cloud", "vonage"}
    assert set(known_policies(catalog)) == {"house", *trtc, *others}


def test_a_mistake_inside_an_own_policy_is_named_with_its_path() -> None:
    assert mistakes(HOUSE.replace("hd = 4", "fhd = 4")) == [
        '[[policy]] #1 "house": version[1].ratios: hd is missing',
        '[[policy]] #1 "house": version[1].ratios: fhd has no tier in this version',
    ]


def test_an_own_policy_cannot_take_the_place_of_a_built_in_one() -> None:
    [line] = dangling(HOUSE.replace('"house"', '"trtc-cn"'))
    assert line == 'policy "trtc-cn": this id is built in and cannot be redefined; choose another id'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('policy = "trtc-intl"', 'policy = "trtc-int"', "account \"acme\": unknown policy 'trtc-int'; did you mean"),
        (
            'account = "acme"\nname',
            'account = "acne"\nname',
            "app 1400000001: unknown account 'acne'; did you mean 'acme'",
        ),
        ("app = 1400000001", "app = 1400000002", 'package "pkg-1": there is no app 1400000002; add it as an [[app]]'),
        (
            'account = "acme"\napp',
            'account = "acne"\napp',
            "package \"pkg-1\": unknown account 'acne'; did you mean 'acme'?",
        ),
        (
            'account = "acme"\nvalid_from',
            'account = "zzz"\nvalid_from',
            "contract of \"zzz\" from 2026-03-01: unknown account 'zzz'; known here: acme",
        ),
        (
            'currency = "USD"',
            'currency = "EUR"',
            'account "acme": policy "trtc-intl" has no EUR price of audio, fhd, 2k, 4k; choose a currency it has, '
            "or give a [[contract]] with prices of every item",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(old: str, new: str, said: str) -> None:
    assert old in ACME
    assert dangling(ACME.replace(old, new, 1))[0].startswith(said)


def test_a_package_for_another_accounts_app_is_refused() -> None:
    text = (ACME + BETA).replace('account = "acme"\napp', 'account = "beta"\napp')
    assert dangling(text) == [
        'package "pkg-1": app 1400000001 belongs to account "acme", not "beta"; correct the app or the account'
    ]


def test_a_contract_that_prices_every_item_makes_any_currency_possible() -> None:
    every_item = 'prices = { audio = "1", hd = "4", fhd = "9", 2k = "16", 4k = "36" }'
    euro = ACME.replace('"USD"', '"EUR"')
    check_catalog(parse_catalog(euro.replace('prices = { hd = "3.00" }', every_item), "catalog.toml"))
    later = '[[contract]]\naccount = "acme"\nvalid_from = 2026-06-01\nprices = { audio = "1" }\n'
    [line] = dangling(euro.replace('prices = { hd = "3.00" }', every_item) + later)
    assert "no EUR price of hd, fhd, 2k, 4k" in line


def test_where_there_are_several_sellers_each_account_names_one() -> None:
    west = '[[seller]]\nid = "{}"\nname = "West"\ninvoice = {{ prefix = "W" }}\ncredit_note = {{ prefix = "WC" }}\n'
    stored = parse_catalog(ACME, "catalog.toml")
    several = stored.merged(parse_catalog(west.format("west"), "west.toml"))
    with pytest.raises(BillingError) as refused:
        check_catalog(several)
    [_, line] = str(refused.value).splitlines()
    assert line == 'account "acme": there are several sellers; name its seller: seller, west'
    check_catalog(several.merged(parse_catalog(ACME.replace("free_minutes", 'seller = "west"\nfree_minutes'), "acme")))


@pytest.mark.parametrize("charge", ["invoice", "prepaid"])
def test_a_package_that_is_invoiced_has_a_price(charge: str) -> None:
    priced = ACME.replace('term = "month"', f'charge = "{charge}"')
    check_catalog(parse_catalog(priced, "catalog.toml"))
    [line] = dangling(priced.replace('price = "24.00"\n', ""))
    assert line.startswith(
        f'package "pkg-1": charge "{charge}" puts it on an invoice, and it has no price; give one, or'
    )
    check_catalog(parse_catalog(priced.replace(charge, "external").replace('price = "24.00"\n', ""), "catalog.toml"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "free_minutes",
            'seller = "wets"\nfree_minutes',
            "account \"acme\": unknown seller 'wets'; known here: seller",
        ),
        ("free_minutes = 500", 'mode = "postpaid"', "mode: 'postpaid' is not 'invoice' or 'prepaid'"),
        ("free_minutes = 500", 'language = "de"', "language: 'de' is not 'en', 'ja' or 'zh'"),
        ("free_minutes = 500", "pay_as_you_go = 0", "pay_as_you_go: 0 is not true or false"),
        (
            "free_minutes = 500",
            "invoices_from = 2026-03-02",
            "invoices_from: 2026-03-02 is not the first day of a month",
        ),
        ("free_minutes = 500", 'invoices_from = "2026-13"', "invoices_from: '2026-13' is not a month such as 2026-03"),
        (
            "free_minutes = 500",
            "invoices_from = 202603",
            'invoices_from: 202603 is not a month in quotes such as "2026',
        ),
        ("free_minutes = 500", "terms_days = 3651", "terms_days: 3651 is too large; write 3650 or less"),
        ("free_minutes = 500", 'tax_id = ""', "tax_id: must have 1 to 64 characters"),
        ("free_minutes = 500", f'tax_id = "{"1" * 65}"', "tax_id: must have 1 to 64 characters"),
        ("free_minutes = 500", 'country = "JP"\ntax_id = "7"', "'7' is not a tax id of JP (T and 13 digits)"),
        ('term = "month"', 'charge = "free"', "charge: 'free' is not 'invoice', 'prepaid' or 'external'"),
    ],
)
def test_the_terms_of_invoices_are_checked(old: str, new: str, said: str) -> None:
    assert old in ACME
    text = ACME.replace(old, new, 1)
    lines = mistakes(text) if "seller = " not in new else dangling(text)
    assert len(lines) == 1
    assert said in lines[0]


def test_the_terms_of_invoices_are_read_and_have_defaults() -> None:
    terms = """
seller = "seller"
tax = "jp-10"
overdue_policy = "trtc"
pay_as_you_go = false
language = "ja"
mode = "prepaid"
invoices_from = "2026-03"
country = "JP"
tax_id = "T7000012050002"
terms_days = 0
"""
    plain = parse_catalog(BETA, "catalog.toml").accounts["beta"]
    assert parse_catalog(BETA + terms, "catalog.toml").accounts["beta"] == replace(
        plain,
        seller="seller",
        tax="jp-10",
        overdue_policy="trtc",
        pay_as_you_go=False,
        language="ja",
        mode="prepaid",
        invoices_from=date(2026, 3, 1),
        country="JP",
        tax_id="T7000012050002",
        terms_days=0,
    )
    assert (plain.pay_as_you_go, plain.language, plain.mode, plain.invoices_from) == (True, "en", "invoice", None)
    assert parse_catalog(BETA + 'tax_id = "any"\n', "catalog.toml").accounts["beta"].tax_id == "any"


PACKAGE = '[[package]]\nid = "{}"\naccount = "beta"\nminutes = 5\npurchased_at = 2026-04-01T00:00:00Z\nprice = 1\n'


@pytest.mark.parametrize(("mode", "charge"), [("invoice", "external"), ("prepaid", "prepaid")])
def test_a_new_package_is_charged_as_the_mode_of_its_account_says(mode: str, charge: str) -> None:
    """Whether the account stands in the same file or is stored."""
    account = BETA + f'mode = "{mode}"\n'
    stored = parse_catalog(account, "catalog.toml")
    together = parse_catalog(account + PACKAGE.format("p"), "catalog.toml").resolved(Catalog())
    alone = parse_catalog(PACKAGE.format("p"), "catalog.toml").resolved(stored)
    assert together.packages["p"].charge == alone.packages["p"].charge == charge


def test_a_file_that_leaves_out_the_charge_and_the_first_month_keeps_what_is_stored() -> None:
    text = BETA + 'mode = "prepaid"\ninvoices_from = "2026-03"\n' + PACKAGE.format("p") + 'charge = "invoice"\n'
    stored = parse_catalog(text, "catalog.toml").resolved(Catalog())
    again = parse_catalog(BETA + PACKAGE.format("p"), "catalog.toml").resolved(stored)
    assert again.packages["p"].charge == "invoice"
    assert again.accounts["beta"].invoices_from == date(2026, 3, 1)
    later = parse_catalog(BETA + 'invoices_from = "2026-05"\n', "catalog.toml").resolved(stored)
    assert later.accounts["beta"].invoices_from == date(2026, 5, 1)
    assert parse_catalog(BETA, "catalog.toml").resolved(Catalog()).accounts["beta"].invoices_from is None


def test_a_file_need_not_repeat_what_is_stored() -> None:
    """The package's account and app come from the catalog it is merged into; what it names again is replaced."""
    stored = parse_catalog(ACME, "catalog.toml")
    package = (
        '[[package]]\nid = "pkg-2"\naccount = "acme"\napp = 1400000001\nminutes = 5\n'
        "purchased_at = 2026-04-01T00:00:00Z\n"
        '[[app]]\nid = 1400000001\naccount = "acme"\nname = "Lessons"\n'
    )
    merged = stored.merged(parse_catalog(package, "more.toml"))
    check_catalog(merged)
    assert set(merged.packages) == {"pkg-1", "pkg-2"}
    assert merged.apps[1400000001].name == "Lessons"
    assert (merged.sellers, merged.accounts, merged.contracts) == (stored.sellers, stored.accounts, stored.contracts)
