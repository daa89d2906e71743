"""Reading a catalog: a TOML file is read whole, and every mistake in it is reported at once.

Each mistake says where it is, what it is and what to write instead:
`[[account]] #2 "acme": free_minutes: -1 is too small; write 0 or more`. What a table may hold is in `models`.
References are not followed here: see `catalog.check_catalog`.

pydantic takes 0.15 s to load and prepare: import this module where a file is read, not at the top.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from billing.catalog.canonical import entry_from_table
from billing.catalog.catalog import KINDS, Catalog, identity, refuse
from billing.catalog.file_values import LONGEST_ID, not_a
from billing.catalog.models import METERED, MODELS, TABLES_IN_TABLES, TIERED, keys
from billing.catalog.rule_tables import Table
from billing.catalog.sellers import ONLY_SELLER
from billing.errors import BillingError, unknown


def parse_catalog(text: str, filename: str) -> Catalog:
    """The catalog in a TOML text; one `BillingError` with a line for every mistake."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BillingError(f"{filename} is not TOML: {error}") from None
    return read_catalog(tables, filename)


def read_catalog(tables: Mapping[str, Any], filename: str) -> Catalog:
    """The catalog in the tables of a TOML file, which messages call `filename`."""
    problems = [unknown("table", name, KINDS) for name in tables if name not in KINDS]
    entries = {KINDS[kind]: _read_kind(kind, tables.get(kind, []), problems) for kind in KINDS}
    refuse(problems, filename)
    return Catalog(**entries)


def _read_kind(kind: str, tables: object, problems: list[str]) -> dict[Any, Any]:
    """Every table of one kind by its identity; mistakes are added to `problems`."""
    if kind == "seller" and isinstance(tables, dict):
        return _read_only_seller(tables, problems)
    if not isinstance(tables, list):
        problems.append(f"[{kind}]: write [[{kind}]], with two brackets, once for each {kind}")
        return {}
    entries: dict[Any, Any] = {}
    first_number: dict[Any, int] = {}
    for number, table in enumerate(tables, start=1):
        where = f"[[{kind}]] #{number}{_named(table)}"
        checked = _read_table(where, MODELS[kind], table, problems)
        if checked is None:
            continue
        entry = entry_from_table(kind, checked)
        key = identity(entry)
        if key in entries:
            problems.append(f"{where}: is the same {kind} as #{first_number[key]}; remove one, or give it its own name")
        entries.setdefault(key, entry)
        first_number.setdefault(key, number)
    return entries


def _read_only_seller(table: Mapping[str, Any], problems: list[str]) -> dict[Any, Any]:
    """A plain `[seller]`, which has no id of its own."""
    if table.get("id", ONLY_SELLER) != ONLY_SELLER:
        problems.append("[seller]: id: a seller with an id is written as [[seller]], with two brackets")
        return {}
    checked = _read_table("[seller]", MODELS["seller"], {**table, "id": ONLY_SELLER}, problems)
    return {} if checked is None else {ONLY_SELLER: entry_from_table("seller", checked)}


def _read_table(where: str, model: type[Table], table: object, problems: list[str]) -> dict[str, Any] | None:
    """The values that a table gives, or None when there are mistakes, which are added to `problems`."""
    try:
        return model.model_validate(table).model_dump(exclude_unset=True, by_alias=True)
    except ValidationError as error:
        problems += [f"{where}: {mistake}" for mistake in _mistakes(error, model)]
        return None


def _named(table: object) -> str:
    """` "acme"`, when the table says its id or account in usable text."""
    name = table.get("id", table.get("account")) if isinstance(table, dict) else None
    if isinstance(name, int) and not isinstance(name, bool):
        return f" {name}"
    return f' "{name}"' if isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_ID else ""


# What is said about the kinds of mistakes that pydantic finds; all others are a `ValueError` of a function below.
_SENTENCES: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "missing": lambda _value, _context: "is missing",
    "int_type": lambda value, _context: not_a("a whole number", value),
    "greater_than_equal": lambda value, context: f"{value} is too small; write {context['ge']} or more",
    "less_than_equal": lambda value, context: f"{value} is too large; write {context['le']} or less",
    "bool_type": lambda value, _context: not_a("true or false", value),
    "literal_error": lambda value, context: not_a(context["expected"], value),
    "list_type": lambda _value, _context: "is not a list",
    "dict_type": lambda _value, _context: "is not a table of names and values",
    "model_type": lambda _value, _context: "is not a table of names and values",
    "value_error": lambda _value, context: str(context["error"]),
}


def _mistakes(error: ValidationError, model: type[Table]) -> Iterator[str]:
    """A line for each mistake, `version[1].ratios: hd is missing`; unknown keys first, which explain missing ones."""
    for detail in sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden"):
        place, context = detail["loc"], detail.get("ctx", {})
        if detail["type"] == "extra_forbidden":
            yield from _lines(place[:-1], unknown("key", str(place[-1]), _keys(model, place[:-1])))
        elif place[-1:] == ("[key]",):  # of a table that may have some names only
            yield from _lines(place[:-2], str(context["error"]))
        else:
            yield from _lines(place, _SENTENCES[detail["type"]](detail["input"], context))


def _lines(place: Iterable[int | str], sentences: str) -> Iterator[str]:
    """Each sentence behind its place, which one that begins with a dot goes on with; lists count from 1."""
    named = (step for step in place if step not in (TIERED, METERED))
    path = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in named).removeprefix(".")
    for sentence in sentences.splitlines():
        yield f"{path}{'' if sentence.startswith('.') or not path else ': '}{sentence}"


def _keys(model: type[Table], place: Iterable[int | str]) -> Iterable[str]:
    """The keys that the table at `place` may have."""
    for step in place:
        if isinstance(step, str) and step in TABLES_IN_TABLES.get(model, {}):
            model = TABLES_IN_TABLES[model][step]
    return keys(model)
