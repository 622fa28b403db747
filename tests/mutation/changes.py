"""One-line mutants: a module's source with one thing changed in one function."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import libcst as cst
from mutmut.mutation.file_mutation import create_mutations

ROOT = Path(__file__).parents[2]

#: What decides, and what carries it out.
MUTATED = (
    "sync/decisions/protocol.py",
    "sync/decisions/draft.py",
    "sync/decisions/first_contact.py",
    "sync/decisions/status_and_expiry.py",
    "sync/decisions/promises.py",
    "sync/decisions/shadow.py",
    "sync/decisions/looks.py",
    "sync/decisions/evidence.py",
    "sync/reconcile/card.py",
    "sync/reconcile/execute.py",
    "sync/reconcile/recover.py",
    "sync/reconcile/work.py",
    "sync/arrivals/match.py",
    "sync/arrivals/numbers.py",
)


@dataclass(frozen=True)
class Mutant:
    """One change: the lines that go, the lines that come, and where."""

    path: str
    #: As in `Draft.move`.
    function: str
    #: The first line that goes, and every line whose running means that the change can show.
    line: int
    lines: frozenset[int]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line} {self.function}"

    @property
    def told(self) -> str:
        """The change alone, wherever in its file it stands: what the list of survivors says."""
        where = f"{self.path} {self.function}"
        return "\n".join(
            [where, *(f"- {line}" for line in self.removed), *(f"+ {line}" for line in self.added)]
        )

    def install(self) -> None:
        """Put the changed function in the place of the real one, in this process, for all who have it."""
        module = import_module(self.path.removesuffix(".py").replace("/", "."))
        definition = ast.parse(self.source).body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        future = ast.parse("from __future__ import annotations").body
        code = compile(ast.Module([*future, definition], []), str(ROOT / self.path), "exec")
        namespace: dict[str, Any] = {}
        exec(code, vars(module), namespace)
        changed, real = namespace[definition.name], _function(module, self.function)
        real.__code__, real.__defaults__ = changed.__code__, changed.__defaults__
        real.__kwdefaults__ = changed.__kwdefaults__


def mutants_of(path: str) -> list[Mutant]:
    """What mutmut makes of the file, and each statement that is only called left out."""
    source = (ROOT / path).read_text()
    module, mutations, _, _ = create_mutations(path, source)
    functions, names = dict(_functions(ast.parse(source))), _names(module)
    texts = {function: module.code_for_node(function) for function in names}
    made: dict[tuple[str, str], Mutant] = {}
    for mutation in mutations:
        function = mutation.contained_by_top_level_function
        if isinstance(function, cst.FunctionDef):  # Everything else is there before any test.
            text = module.code_for_node(
                cst.ensure_type(
                    function.deep_replace(mutation.original_node, mutation.mutated_node), cst.FunctionDef
                )
            )
            _add(made, path, names[function], functions, texts[function], text)
    for function, name in names.items():
        for text in _without_a_statement(texts[function]):
            _add(made, path, name, functions, texts[function], text)
    return list(made.values())


def _names(module: cst.Module) -> dict[cst.FunctionDef, str]:
    found = {}
    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            found[node] = node.name.value
        elif isinstance(node, cst.ClassDef):
            found |= {
                f: f"{node.name.value}.{f.name.value}"
                for f in node.body.body
                if isinstance(f, cst.FunctionDef)
            }
    return found


def _without_a_statement(source: str) -> Iterator[str]:
    """A call, an addition to what exists, or a way out of a loop is left out: `pass` stands there."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.AugAssign | ast.Continue | ast.Break) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            yield "".join([*lines[:first], " " * node.col_offset + "pass\n", *lines[last:]])


def _add(
    made: dict[tuple[str, str], Mutant],
    path: str,
    name: str,
    functions: Mapping[str, ast.FunctionDef],
    before: str,
    after: str,
) -> None:
    old, new = before.splitlines(), after.splitlines()
    if old == new or (name, after) in made:
        return
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    behind = 0
    while behind < min(len(old), len(new)) - same and old[-1 - behind] == new[-1 - behind]:
        behind += 1
    removed, added = old[same : len(old) - behind], new[same : len(new) - behind]
    definition = functions[name]
    first = definition.lineno - ast.parse(before).body[0].lineno + same + 1
    lines = frozenset(_lines_that_run(definition, range(first, first + max(len(removed), 1))))
    made[name, after] = Mutant(
        path,
        name,
        first,
        lines,
        tuple(line.strip() for line in removed),
        tuple(a.strip() for a in added),
        after,
    )


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{f.name}", f) for f in node.body if isinstance(f, ast.FunctionDef))


def _lines_that_run(definition: ast.FunctionDef, changed: Sequence[int]) -> set[int]:
    """The lines of the smallest statements around the changed ones; of a signature, all of the function."""
    if changed[0] < definition.body[0].lineno:
        return set(range(definition.lineno, (definition.end_lineno or 0) + 1))
    found = set(changed)
    for line in changed:
        around = [
            n
            for n in ast.walk(definition)
            if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or 0)
        ]
        smallest = min(around, key=lambda n: (n.end_lineno or 0) - n.lineno)
        body = getattr(smallest, "body", None) or getattr(smallest, "cases", None)
        end = smallest.end_lineno or 0
        if body:
            head = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
            end = max(head.lineno - 1, smallest.lineno)
        found |= set(range(smallest.lineno, end + 1))
    return found


def _function(module: ModuleType, function: str) -> FunctionType:
    """The function itself, out of a property or whatever else is around it."""
    found: Any = module
    for name in function.split("."):
        found = found.__dict__[name]
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    found = getattr(found, "__wrapped__", found)
    assert isinstance(found, FunctionType), function
    return found
