"""The official verdict on EN 16931 invoices in UBL: the XML Schema, then the Schematron of the standard.

A program of its own, never imported: the XSLT engine can end the process it runs in. It takes the folder of the rules
and a JSON list of XML texts on standard input, and prints a JSON list with one object for each: the rules it `checked`
(how many) and what `failed` (`[rule, text]`). An XML that the schema refuses fails rule `XSD`, and no other is checked:

    python ubl_rules.py RULES < texts.json
    [{"checked": 214, "failed": [["BR-CO-10", "Sum of Invoice line net amount (BT-106) = ..."]]}]
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree
from saxonche import PySaxonProcessor

_SCHEMAS = {
    "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice": "maindoc/UBL-Invoice-2.1.xsd",
    "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote": "maindoc/UBL-CreditNote-2.1.xsd",
}
_SCHEMATRON = "EN16931-UBL-validation.xslt"
_SVRL = "{http://purl.oclc.org/dsdl/svrl}"
# Nothing is fetched, and no entity is expanded.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)


def main(rules: Path) -> None:
    """Prints the verdicts on the texts."""
    texts = json.load(sys.stdin)
    schemas: dict[str, Any] = {}
    with PySaxonProcessor(license=False) as processor:
        stylesheet = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(rules / _SCHEMATRON))
        json.dump([_verdict(text, rules, schemas, processor, stylesheet) for text in texts], sys.stdout)


def _verdict(text: str, rules: Path, schemas: dict[str, Any], processor: Any, stylesheet: Any) -> dict[str, Any]:
    refused = list(_schema_failures(text, rules, schemas))
    if refused:
        return {"checked": 1, "failed": refused}
    report = stylesheet.transform_to_string(xdm_node=processor.parse_xml(xml_text=text))
    svrl = etree.fromstring(report.encode(), _PARSER)
    return {"checked": len(svrl.findall(f"{_SVRL}fired-rule")), "failed": list(_failed_rules(svrl))}


def _schema_failures(text: str, rules: Path, schemas: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        tree = etree.fromstring(text.encode(), _PARSER)
    except etree.XMLSyntaxError as error:
        yield "XSD", str(error)
        return
    if tree.tag not in _SCHEMAS:
        yield "XSD", f"{tree.tag} is neither an invoice nor a credit note"
        return
    if tree.tag not in schemas:
        schemas[tree.tag] = etree.XMLSchema(file=str(rules / _SCHEMAS[tree.tag]))
    schema = schemas[tree.tag]
    if not schema.validate(tree):
        yield from (("XSD", error.message) for error in schema.error_log)


def _failed_rules(svrl: Any) -> Iterator[tuple[str, str]]:
    """The rules that the standard calls fatal; the others are advice."""
    for failed in svrl.iter(f"{_SVRL}failed-assert"):
        if failed.get("flag") == "fatal":
            rule, text = failed.get("id"), " ".join(failed.findtext(f"{_SVRL}text").split())
            yield rule, text.removeprefix(f"[{rule}]-")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
