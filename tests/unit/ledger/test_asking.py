"""`asking` is for one statement: two that need one state of the ledger are read by `reading`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

LEDGER = Path(__file__).parents[3] / "sync" / "ledger"


def _blocks() -> Iterator[tuple[str, ast.With]]:
    for file in sorted(LEDGER.rglob("*.py")):
        text = file.read_text()
        if "with asking(" in text:
            nodes = ast.walk(ast.parse(text))
            yield from ((f"{file.name}:{n.lineno}", n) for n in nodes if isinstance(n, ast.With) and _asks(n))


def _asks(block: ast.With) -> bool:
    call = block.items[0].context_expr
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "asking"


def _uses(block: ast.With) -> int:
    """How often the block takes its connection in hand."""
    name = ast.unparse(block.items[0].optional_vars or ast.Name("_"))
    inside = [node for statement in block.body for node in ast.walk(statement)]
    return sum(isinstance(node, ast.Name) and node.id == name for node in inside)


def test_given_a_block_that_asks_then_it_makes_one_statement() -> None:
    found = dict(_blocks())

    assert len(found) > 100
    assert [where for where, block in found.items() if _uses(block) != 1] == []
