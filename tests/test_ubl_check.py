"""The check of XML: one line that names the rules, and no verdict is no issue."""

import sys
from pathlib import Path

import pytest

from billing.errors import BillingError
from billing.invoicing.ubl import ubl_xml
from billing.invoicing.ubl_check import FailedRule, check_ubl, failed_rules
from tests.issued_facts import VAT_19, issued, used

XML = ubl_xml(issued(used(1234, "3.99"), tax=VAT_19))


def test_a_valid_xml_passes() -> None:
    check_ubl(XML)


def test_the_first_three_broken_rules_are_named_on_one_line() -> None:
    wrong = XML.replace(b">4.92<", b">4.93<").replace(b">DE</cbc:I", b"></cbc:I").replace(b">3.99<", b">-3.99<")
    with pytest.raises(
        BillingError, match=r"^the XML breaks rules of EN 16931.*BR-[^;]*; BR-[^;]*; BR-[^;]*; and \d more"
    ) as raised:
        check_ubl(wrong)
    assert "\n" not in str(raised.value)


def test_a_broken_rule_is_named_with_what_it_says() -> None:
    (failed,) = failed_rules([XML.replace(b">3.99<", b">-3.99<")])
    assert failed == (FailedRule(rule="BR-27", text="The Item net price (BT-146) shall NOT be negative."),)


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (b"<Invoice", "Couldn't find end of Start Tag Invoice"),
        (b"", "Document is empty"),
        (b"<Invoice/>", "Invoice is neither an invoice nor a credit note"),
        (XML.replace(b"IssueDate", b"IssueDay"), "IssueDay"),
        (XML.replace(b"East GmbH", b"East\x08GmbH"), "PCDATA invalid Char value 8"),
    ],
)
def test_what_the_schema_refuses_is_checked_no_further(xml: bytes, text: str) -> None:
    ((failed,),) = failed_rules([xml])
    assert failed.rule == "XSD"
    assert text in failed.text


def test_each_xml_has_its_own_verdict() -> None:
    verdicts = failed_rules([XML, XML.replace(b">3.99<", b">-3.99<"), XML])
    assert [len(failed) for failed in verdicts] == [0, 1, 0]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("kill -ABRT $$", "the check ended with -6"),
        ("echo '<gone>' >&2; exit 3", "the check ended with 3: <gone>"),
        ("echo '[{'", "the check printed no report"),
        ("true", "the check printed no report"),
        ("echo '[]'", "0 verdicts on 1 documents"),
        ("""echo '[{"checked": 0, "failed": []}]'""", "no rule of EN 16931 applied to it"),
    ],
)
def test_a_check_without_verdict_issues_nothing(
    program: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check dies, or says nothing: an interpreter that does is put in place of the real one."""
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{program}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(BillingError, match="could not be checked against EN 16931, so it is not issued") as raised:
        check_ubl(XML)
    assert str(raised.value).endswith(why)


def test_an_interpreter_that_cannot_start_gives_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(BillingError, match=r"so it is not issued; try again: .*No such file"):
        check_ubl(XML)


@pytest.mark.parametrize("library", ["facturx", "lxml", "saxonche"])
def test_a_missing_library_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BillingError, match=r"install billing\[documents\]$"):
        check_ubl(XML)
