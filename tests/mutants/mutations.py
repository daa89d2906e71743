"""Mutations: the small faults that are put into a module, one at a time.

Most are made by the operators of cosmic-ray; those below add what it lacks for code that works by changing records in
place. Left out, because no test could or should notice them: annotations, and the decorators that make machine code
(the trials run as plain Python). Texts are never changed.
"""

import ast
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider

# One other operation for each (cosmic-ray has eleven); for comparisons the other bound, and the contrary.
BINARY = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "FloorDiv",
    "Div": "Mul",
    "FloorDiv": "Mul",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "RShift": "LShift",
    "LShift": "RShift",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
    "BitXor": "BitAnd",
}
COMPARISONS = {
    "Eq": ("NotEq",),
    "NotEq": ("Eq",),
    "Lt": ("LtE", "GtE"),
    "LtE": ("Lt", "Gt"),
    "Gt": ("GtE", "LtE"),
    "GtE": ("Gt", "Lt"),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
OTHERS = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "RemoveDecorator",
    "ReplaceAndWithOr",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Invert_Not",
    "ZeroIterationForLoop",
)
WORDS = {"min": "max", "max": "min", "any": "all", "all": "any"}
AUGMENTED = {"+=": "-=", "-=": "+=", "|=": "&="}


class _Swap(Operator):
    """Replaces a word or a sign by its counterpart."""

    counterparts: dict[str, str]

    def mutation_positions(self, node):
        if node.type in ("name", "operator") and node.value in self.counterparts and node.parent.type != "param":
            yield node.start_pos, node.end_pos

    def mutate(self, node, _index):
        node.value = self.counterparts[node.value]
        return node

    @classmethod
    def examples(cls):
        return ()


class SwapWord(_Swap):
    counterparts = WORDS


class SwapAugmented(_Swap):
    counterparts = AUGMENTED


class RemoveStatement(Operator):
    """Leaves out a statement that has an effect: a call, a change of a record or of a sum. (To leave out an assignment
    to a name would only be a NameError.)"""

    def mutation_positions(self, node):
        if node.parent is not None and node.parent.type == "simple_stmt" and self._has_effect(node):
            yield node.start_pos, node.end_pos

    def _has_effect(self, node):
        if node.type == "expr_stmt":
            target, sign = node.children[0], node.children[1]
            targets = target.children if target.type == "testlist_star_expr" else [target]
            changed = any(each.type == "atom_expr" for each in targets)
            return sign.type == "operator" and (changed or sign.value != "=")
        return node.type == "atom_expr"

    def mutate(self, node, _index):
        return parso.python.tree.Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls):
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One fault: where it is and how the line reads without and with it. `code` is the whole module with it."""

    module: str
    definition: str
    line: int
    before: str
    after: str
    code: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it, whatever lines are added above."""
        return self.module, self.definition, self.before, self.after


def unchanged(root: Path, module: str) -> Mutation:
    """No fault: the module as it is."""
    code = (root / module).read_text(encoding="utf-8")
    return Mutation(module=module, definition="", line=0, before="", after="", code=code)


def mutations(root: Path, module: str) -> Iterator[Mutation]:
    """Every fault that can be put into a module (`billing/rating/charges.py`), from its first line to its last."""
    source = (root / module).read_text(encoding="utf-8")
    tree = ast.parse(source)
    left_out = _left_out(tree)
    nodes = list(ast_nodes(get_ast(source)))
    places = [
        (start, name, occurrence)
        for name, operator in _operators().items()
        for occurrence, (start, _) in enumerate(place for node in nodes for place in operator.mutation_positions(node))
        if not any(first <= start < last for first, last in left_out)
    ]
    known = {ast.dump(tree)}
    for (line, _), name, occurrence in sorted(places):
        code = mutate_code(source, _operators()[name], occurrence)
        try:
            shape = ast.dump(ast.parse(code))
        except SyntaxError:
            continue
        if shape not in known and "not not" not in code:
            known.add(shape)
            before, after = _changed_lines(source, code)
            definition = _definition(tree, line)
            yield Mutation(module=module, definition=definition, line=line, before=before, after=after, code=code)


@cache
def _operators() -> dict[str, Operator]:
    names = [
        *(f"ReplaceBinaryOperator_{one}_{other}" for one, other in BINARY.items()),
        *(f"ReplaceComparisonOperator_{one}_{other}" for one, others in COMPARISONS.items() for other in others),
        *OTHERS,
    ]
    provider = OperatorProvider()
    own = {operator.__name__: operator() for operator in (SwapWord, SwapAugmented, RemoveStatement)}
    return {name: provider[name]() for name in names} | own


def _left_out(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The places (line and column, from and up to) of annotations and of `@compiled` and `@inlined`."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found += [node.returns] if node.returns else []
            found += [each for each in node.decorator_list if ast.unparse(each) in ("compiled", "inlined")]
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            found.append(node.annotation)
    # A decorator begins with its @.
    return [((each.lineno, each.col_offset - 1), (each.end_lineno, each.end_col_offset)) for each in found]


def _definition(tree: ast.Module, line: int) -> str:
    """The innermost function or class around a line; empty: the module itself."""
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and min([node.lineno, *(each.lineno for each in node.decorator_list)]) <= line <= node.end_lineno
    ]
    return max(around, key=lambda node: node.lineno).name if around else ""


def _changed_lines(source: str, code: str) -> tuple[str, str]:
    one, other = source.splitlines(), code.splitlines()
    changes = [
        change
        for change in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
        if change[0] != "equal"
    ]
    first, last = changes[0], changes[-1]
    return _one_line(one[first[1] : last[2]]), _one_line(other[first[3] : last[4]])


def _one_line(lines: list[str]) -> str:
    return re.sub(r"\s+", " ", " ".join(lines)).strip()
