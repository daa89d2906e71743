"""Alerts and webhooks: what may be watched, and where events may go."""

from decimal import Decimal

import pytest

from billing.catalog.alerts import EVENTS, Alert, Webhook
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.errors import BillingError

ACME = """
[[account]]
id = "acme"
name = "Acme"
currency = "USD"
timezone = "UTC"
policy = "trtc-intl"
[[app]]
id = 7
account = "acme"
name = "Classroom"
[[package]]
id = "pkg"
account = "acme"
minutes = 100
purchased_at = 2026-03-01T00:00:00Z
"""
BUDGET = """
[[alert]]
id = "budget"
account = "acme"
app = 7
metric = "spend"
period = "day"
limit = "500.0"
thresholds = ["80%", "99.50%", 1000, "400.50"]
"""
HOOK = """
[[webhook]]
id = "finance"
url = "https://hooks.example.com:8443/billing?team=a"
secret_env = "HOOK_SECRET"
events = ["invoice.issued", "feed.silent"]
account = "acme"
"""


def mistake(text: str, old: str, new: str) -> str:
    assert old in text
    with pytest.raises(BillingError) as refused:
        parse_catalog(text.replace(old, new), "catalog.toml")
    [line] = str(refused.value).splitlines()[1:]
    return line


def dangling(text: str) -> list[str]:
    catalog = parse_catalog(text, "catalog.toml")
    with pytest.raises(BillingError) as refused:
        check_catalog(catalog)
    return str(refused.value).splitlines()[1:]


def test_an_alert_is_read_whole() -> None:
    """Thresholds in their shortest form."""
    assert parse_catalog(BUDGET, "catalog.toml").alerts == {
        "budget": Alert(
            id="budget",
            account="acme",
            app=7,
            metric="spend",
            period="day",
            limit=Decimal(500),
            thresholds=("80%", "99.5%", "1000", "400.5"),
        )
    }


def test_a_balance_may_have_thresholds_below_zero() -> None:
    text = '[[alert]]\nid = "b"\naccount = "acme"\nmetric = "balance"\nthresholds = ["-0.00", "-50.0", -7]\n'
    alert = parse_catalog(text, "catalog.toml").alerts["b"]
    assert alert == Alert(id="b", account="acme", metric="balance", period="month", thresholds=("0", "-50", "-7"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('limit = "500.0"\n', "", "limit: is missing; a threshold in percent is one of the limit"),
        ('"500.0"', "0", "limit: 0 is not above 0"),
        ('"500.0"', "500.0", "limit: 500.0 is a floating-point number, which is not exact"),
        ("1000", "1000.5", 'thresholds[3]: 1000.5 is not a threshold in quotes such as "80%" or "400"'),
        ("1000", "true", "thresholds[3]: true is not a threshold in quotes"),
        ("1000", '"1e3"', "thresholds[3]: '1e3' is not a threshold in quotes"),
        ('"80%"', '"80 %"', "thresholds[1]: '80 %' is not a threshold in quotes"),
        ('"80%"', '"0%"', "thresholds[1]: 0% is not above 0%"),
        ('"80%"', '"-80%"', "thresholds[1]: -80% is not above 0%"),
        ('"80%"', '"1000.1%"', "thresholds[1]: 1000.1 is not from 0 to 1000"),
        ('"80%"', '"99.5%"', "thresholds: give one or more, each once"),
        ('["80%", "99.50%", 1000, "400.50"]', "[]", "thresholds: give one or more, each once"),
        ('["80%", "99.50%", 1000, "400.50"]', "400", "thresholds: is not a list"),
        ("1000", "-1", "thresholds: spend is never below 0; leave out the minus sign"),
        ('"spend"', '"cost"', "metric: 'cost' is not 'minutes', 'spend', 'package_remaining' or 'balance'"),
        ('"spend"', '"balance"', "app: a balance is that of an account; leave it out"),
        ("app = 7", 'package = "pkg"', "package: spend is not a metric of a package; leave it out"),
        ('"day"', '"week"', "period: 'week' is not 'day' or 'month'"),
        ('account = "acme"\n', "", "account: is missing"),
    ],
)
def test_a_mistake_in_an_alert_is_named(old: str, new: str, said: str) -> None:
    assert f'[[alert]] #1 "budget": {said}' in mistake(BUDGET, old, new)


def test_a_webhook_is_read_whole() -> None:
    assert parse_catalog(HOOK, "catalog.toml").webhooks == {
        "finance": Webhook(
            id="finance",
            url="https://hooks.example.com:8443/billing?team=a",
            secret_env="HOOK_SECRET",  # noqa: S106
            events=("invoice.issued", "feed.silent"),
            account="acme",
        )
    }
    local = '[[webhook]]\nid = "l"\nurl = "http://localhost/x"\nsecret_file = "l.secret"\nallow_private = true\n'
    assert parse_catalog(local, "catalog.toml").webhooks == {
        "l": Webhook(id="l", url="http://localhost/x", secret_file="l.secret", allow_private=True)  # noqa: S106
    }
    every = f"events = {list(EVENTS)}"
    assert parse_catalog(HOOK.replace('events = ["invoice.issued", "feed.silent"]', every), "c").webhooks


URL = "https://hooks.example.com:8443/billing?team=a"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https:", "http:", "url: must begin with https://; http:// needs allow_private = true"),
        ("https:", "ftp:", "url: 'ftp://hooks.example.com:8443/billing?team=a' is not a URL such as https://example"),
        ("https://", "ftp://user:pass@", "url: has a user or a password in it; take it out"),
        (URL, "hooks.example.com", "url: 'hooks.example.com' is not a URL such as https://example.com/hook"),
        (URL, "https:///billing", "url: 'https:///billing' is not a URL"),
        (URL, "https://[::1/billing", "url: is not a URL such as"),
        (":8443", ":port", "url: is not a URL such as"),
        (":8443", ":99999", "url: is not a URL such as"),
        ("//hooks", "//user:pass@hooks", "url: has a user or a password in it; take it out"),
        ("team=a", "team=a#top", "url: has a fragment (#…), which is never sent; take it out"),
        ("team=a", "team=ä", "url: must have at most 2048 printable ASCII characters"),
        ("team=a", "team a", "url: must have at most 2048 printable ASCII characters and no spaces"),
        ("team=a", "team\\na", "url: must have at most 2048 printable ASCII characters"),
        ("team=a", "x" * 2048, "url: must have at most 2048 printable ASCII characters"),
        ('secret_env = "HOOK_SECRET"\n', "", 'has no secret; write secret_file = "hook.secret" or secret_env ='),
        ("secret_env", 'secret_file = "x"\nsecret_env', "has two secrets; keep secret_file or secret_env"),
        ("HOOK_SECRET", "hook secret", "secret_env: 'hook secret' is not the name of an environment variable"),
        ("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjU", "secret_env: is a secret itself, which must not stand in a catalog"),
        ('"feed.silent"', '"feed.loud"', "events[2]: unknown event 'feed.loud'; did you mean 'feed.silent'?"),
        ('"feed.silent"', '"invoice.issued"', "events: names an event twice"),
    ],
)
def test_a_mistake_in_a_webhook_is_named(old: str, new: str, said: str) -> None:
    line = mistake(HOOK, old, new)
    assert f'[[webhook]] #1 "finance": {said}' in line
    assert "MfKQ" not in line
    assert "pass@" not in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BUDGET.replace("acme", "acne"), "alert \"budget\": unknown account 'acne'; did you mean 'acme'?"),
        (BUDGET.replace("7", "8", 1), 'alert "budget": there is no app 8; add it as an [[app]], or correct the number'),
        (HOOK.replace("acme", "acne"), "webhook \"finance\": unknown account 'acne'; did you mean 'acme'?"),
        (
            BUDGET.replace("app = 7", 'package = "pgk"').replace("spend", "package_remaining"),
            "alert \"budget\": unknown package 'pgk'; did you mean 'pkg'?",
        ),
    ],
)
def test_what_alerts_and_webhooks_refer_to_must_exist(text: str, said: str) -> None:
    check_catalog(parse_catalog(ACME + BUDGET + HOOK, "catalog.toml"))
    assert dangling(ACME + text)[0] == said


def test_an_alert_is_for_an_app_and_a_package_of_its_own_account() -> None:
    beta = '[[account]]\nid = "beta"\nname = "B"\ncurrency = "USD"\ntimezone = "UTC"\npolicy = "trtc-intl"\n'
    low = '[[alert]]\nid = "low"\naccount = "beta"\npackage = "pkg"\nmetric = "package_remaining"\nthresholds = [1]\n'
    assert dangling(ACME + beta + BUDGET.replace("acme", "beta") + low) == [
        'alert "budget": app 7 belongs to account "acme", not "beta"; correct the app or the account',
        'alert "low": package "pkg" belongs to account "acme", not "beta"; correct the package or the account',
    ]
