"""beancount and hledger, as their users run them: whether they accept a journal, and the balances that they read."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HLEDGER = shutil.which("hledger")
needs_hledger = pytest.mark.skipif(
    HLEDGER is None and os.environ.get("BILLING_REQUIRE_HLEDGER") != "1",
    reason="hledger checks the journal: install it (apt-get install hledger)",
)

# An account of the journal and a currency.
Balances = Mapping[tuple[str, str], Decimal]

_READ_BEANCOUNT = """
import collections, decimal, json, sys
from beancount import loader
entries, errors, options = loader.load_file(sys.argv[1])
assert not errors, errors
transactions = [each for each in entries if hasattr(each, "postings")]
balances = collections.defaultdict(decimal.Decimal)
for each in transactions:
    for posting in each.postings:
        balances[posting.account, posting.units.currency] += posting.units.number
plain = lambda meta: {name: value for name, value in (meta or {}).items() if name not in ("filename", "lineno")}
print(json.dumps({
    "balances": [[*key, str(value)] for key, value in balances.items()],
    "customers": {each.account: each.meta.get("customer") for each in entries if type(each).__name__ == "Open"},
    "transactions": [
        {
            "date": str(each.date), "payee": each.payee, "narration": each.narration, "links": sorted(each.links),
            "meta": {name: value for name, value in plain(each.meta).items() if not name.startswith("__")},
            "postings": [[p.account, str(p.units), plain(p.meta)] for p in each.postings],
        }
        for each in transactions
    ],
}))
"""


def check_beancount(journal: Path) -> None:
    """Fails with what `bean-check` says, unless it accepts the journal."""
    _run(str(Path(sys.executable).parent / "bean-check"), str(journal))


def read_beancount(journal: Path) -> dict[str, Any]:
    """What beancount reads: balances, the customers of accounts, transactions."""
    read: dict[str, Any] = json.loads(_run(sys.executable, "-c", _READ_BEANCOUNT, str(journal)))
    return read


def beancount_balances(read: Mapping[str, Any]) -> Balances:
    """The balances in what `read_beancount` gives, without those of zero."""
    found = {(account, currency): Decimal(amount) for account, currency, amount in read["balances"]}
    return {key: amount for key, amount in found.items() if amount}


def check_hledger(journal: Path) -> None:
    """Fails with what `hledger check` says, unless it accepts the journal with its strictest checks."""
    _hledger(journal, "check", "--strict", "ordereddates")


def hledger_balances(journal: Path) -> Balances:
    """The balances that hledger shows, without those of zero."""
    shown = _hledger(journal, "balance", "--flat", "--no-total", "--layout=bare", "--output-format=csv")
    rows = list(csv.DictReader(shown.splitlines()))
    found = {(row["account"], row["commodity"]): Decimal(row["balance"]) for row in rows if row["commodity"]}
    return {key: amount for key, amount in found.items() if amount}


def hledger_transactions(journal: Path) -> list[dict[str, Any]]:
    """The transactions as hledger prints them in JSON."""
    found: list[dict[str, Any]] = json.loads(_hledger(journal, "print", "--output-format=json"))
    return found


def _hledger(journal: Path, *arguments: str) -> str:
    assert HLEDGER is not None, "hledger is required and not installed (apt-get install hledger)"
    return _run(HLEDGER, "-f", str(journal), *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", "BEANCOUNT_DISABLE_LOAD_CACHE": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
