"""`docs/catalog.md` tells the truth: its examples are a catalog, and it names every key."""

import re
from functools import reduce

from billing.catalog.catalog import Catalog
from billing.catalog.models import MODELS, SellerTable, VersionTable
from billing.catalog.reading import parse_catalog
from billing.catalog.references import check_catalog
from tests.commands import ROOT

PAGE = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")


def test_the_examples_make_one_catalog() -> None:
    """The first is complete in itself; the others refer to each other."""
    examples = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    first, *others = [parse_catalog(text, "docs/catalog.md") for text in examples]
    check_catalog(first)
    assert len(others) == 6
    check_catalog(reduce(Catalog.merged, others))


def test_every_key_is_named_and_no_other() -> None:
    sections = dict(re.findall(r"^## `\[+(\w+)\]+`\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    assert set(sections) == {"seller", *MODELS}
    tables = {kind: [model] for kind, model in MODELS.items()} | {"seller": [SellerTable]}
    tables["policy"].append(VersionTable)
    for kind, section in sections.items():
        keys = [key for table in tables[kind] for key in table.model_fields]
        assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == keys
