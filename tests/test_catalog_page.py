"""`docs/catalog.md` tells the truth: its examples are a catalog, and it names every key."""

import re
from functools import reduce

from billing.catalog.catalog import Catalog
from billing.catalog.models import MODELS, TABLES_IN_TABLES, keys
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from tests.commands import ROOT

PAGE = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")


def test_the_examples_make_one_catalog() -> None:
    """The first is complete in itself; the others refer to each other."""
    examples = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    first, *others = [parse_catalog(text, "docs/catalog.md") for text in examples]
    check_catalog(first)
    assert len(others) == 10
    check_catalog(reduce(Catalog.merged, others))


def test_every_key_is_named_and_no_other() -> None:
    """Of a table and of the lists of tables in it; the page shows inline tables in an example."""
    sections = dict(re.findall(r"^## `\[+(\w+)\]+`\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    assert set(sections) == set(MODELS)
    for kind, section in sections.items():
        inner = [table for key, table in TABLES_IN_TABLES.get(MODELS[kind], {}).items() if key in ("version", "steps")]
        expected = [key for table in (MODELS[kind], *inner) for key in keys(table)]
        assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == expected
