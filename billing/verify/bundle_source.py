"""The source of a bundle's `verify.py`: modules of the second engine in one file that needs nothing else."""

import ast
from pathlib import Path

# In the order in which one needs the other.
MODULES = (
    *(
        "roots",
        "room_tasks",
        "policy_rules",
        "money",
        "day_bill",
        "carried_stays",
        "room_people",
        "rooms",
        "metered_rooms",
    ),
    *("bundle_bill", "bundle_money", "bundle_program"),
)


def bundle_source() -> str:
    """The modules one after the other, with their imports from the standard library on top."""
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in MODULES]
    imports = {line for text in texts for line in _standard_imports(text)}
    return "\n\n\n".join([_docstring(texts[-1]), "\n".join(sorted(imports)), *map(_body, texts)]) + "\n"


def _docstring(text: str) -> str:
    return f'"""{ast.get_docstring(ast.parse(text), clean=False)}"""'


def _standard_imports(text: str) -> list[str]:
    return [ast.unparse(node) for node in _imports(text) if "billing" not in ast.unparse(node)]


def _imports(text: str) -> list[ast.stmt]:
    return [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]


def _body(text: str) -> str:
    """A module without its docstring and its imports, which stand above everything else."""
    last = max(node.end_lineno or 0 for node in _imports(text))
    return "\n".join(text.splitlines()[last:]).strip()
