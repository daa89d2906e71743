"""Overdue policies: which steps can follow each other."""

import tomllib

import pytest

from billing.catalog.catalog import Account, Catalog
from billing.catalog.overdue import BUILTIN_OVERDUE_POLICIES, OverduePolicy, OverdueStep
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from billing.errors import BillingError

TRTC = """
[[overdue_policy]]
id = "trtc"
basis = "balance"                 # or "due_on"
steps = [ { state = "reminded", after = "PT0S", notice = true },
          { state = "suspended", after = "PT24H", notice = true, admit = false },
          { state = "reclaimable", after = "P60D", from = "suspended", notice = true } ]
"""
OWN = TRTC.replace('"trtc"', '"own"')


def mistake(old: str, new: str) -> str:
    assert old in OWN
    with pytest.raises(BillingError) as refused:
        parse_catalog(OWN.replace(old, new), "catalog.toml")
    [line] = str(refused.value).splitlines()[1:]
    return line


def test_the_built_in_policy_is_the_one_that_people_write_down() -> None:
    catalog = parse_catalog(TRTC, "catalog.toml")
    assert catalog.overdue_policies == dict(BUILTIN_OVERDUE_POLICIES)
    check_catalog(catalog)


def test_the_built_in_policy_cannot_be_redefined() -> None:
    catalog = parse_catalog(TRTC.replace("PT24H", "PT48H"), "catalog.toml")
    with pytest.raises(BillingError, match='overdue_policy "trtc": this id is built in with other steps; choose anoth'):
        check_catalog(catalog)


def test_what_is_left_out_has_its_default() -> None:
    text = '[[overdue_policy]]\nid = "soft"\nsteps = [{ state = "reminded", after = "P7D" }]\n'
    step = OverdueStep(state="reminded", after="P7D", from_state=None, notice=False, admit=True)
    policy = OverduePolicy(id="soft", basis="balance", steps=(step,))
    assert parse_catalog(text, "catalog.toml").overdue_policies == {"soft": policy}
    assert step.after_seconds == 7 * 86_400


def test_an_account_has_the_policy_that_it_names() -> None:
    own = parse_catalog(OWN, "catalog.toml")

    def account(policy: str | None) -> Account:
        return Account(id="a", name="A", currency="USD", timezone="UTC", policy="trtc-intl", overdue_policy=policy)

    assert own.overdue_policy_of(account("own")) == own.overdue_policies["own"]
    assert Catalog().overdue_policy_of(account("trtc")) == BUILTIN_OVERDUE_POLICIES["trtc"]
    assert own.overdue_policy_of(account(None)) is None
    with pytest.raises(BillingError, match="unknown overdue policy 'trt'; did you mean 'trtc'"):
        check_catalog(Catalog(accounts={"a": account("trt")}))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'from = "suspended"',
            'from = "reclaimable"',
            'step 3: from "reclaimable" is no earlier step; write one of remind',
        ),
        (
            'after = "PT0S"',
            'after = "PT0S", from = "suspended"',
            'step 1: from "suspended" is no earlier step; the first',
        ),
        (
            'state = "suspended"',
            'state = "reminded"',
            'step 2: the state "reminded" is there already; name each state once',
        ),
        ("PT24H", "PT0S", '"suspended": after PT0S is not later than PT0S of the step before'),
        ("PT24H", "P3651D", "steps[2].after: P3651D is longer than P3650D"),
        ("PT24H", "1 day", "steps[2].after: '1 day' is not an ISO 8601 duration"),
        ('"PT24H"', "24", 'steps[2].after: 24 is not a duration in quotes such as "PT24H"'),
        (
            '"suspended", after',
            '"blocked", after',
            "steps[2].state: 'blocked' is not 'reminded', 'suspended' or 'reclaim",
        ),
        ("from =", "since =", "steps[3]: unknown key 'since'; known here: state, after, from, notice, admit"),
        ("from =", "from_state =", "steps[3]: unknown key 'from_state'; did you mean"),
        ("admit = false", 'admit = "no"', "steps[2].admit: 'no' is not true or false"),
        ('basis = "balance"', 'basis = "debt"', "basis: 'debt' is not 'balance' or 'due_on'"),
    ],
)
def test_a_mistake_in_a_policy_is_named(old: str, new: str, said: str) -> None:
    line = mistake(old, new) if "reminded" not in new else _first(old, new)
    assert said in line


def _first(old: str, new: str) -> str:
    """Of several mistakes that follow from one."""
    with pytest.raises(BillingError) as refused:
        parse_catalog(OWN.replace(old, new), "catalog.toml")
    return str(refused.value).splitlines()[1]


def test_a_policy_has_steps() -> None:
    with pytest.raises(BillingError, match="steps: at least one step is needed"):
        parse_catalog('[[overdue_policy]]\nid = "none"\nsteps = []\n', "catalog.toml")


def test_steps_with_a_beginning_of_their_own_may_be_as_short_as_they_like() -> None:
    """Only what is counted from the beginning of the arrears comes later and later."""
    check_catalog(parse_catalog(OWN.replace("P60D", "PT1H"), "catalog.toml"))
    assert tomllib.loads(OWN)["overdue_policy"][0]["steps"][2]["from"] == "suspended"
