"""docs/explanation/invariants.md names tests; each must exist, and each guarantee must name one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "invariants.md"
#: Of the repository's tests, or of the suite that ships for authors of connectors.
NAMED = re.compile(r"`((?:tests|connectors/kit)/[\w/]+\.py)::([\w:]+)`")


def rows() -> list[str]:
    lines = PAGE.read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith(("| ---", "| guarantee"))]


def defined_in(path: Path) -> set[str]:
    """Every test function of a file, as `name` or `Class::name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(PAGE.read_text()))))
def test_given_a_test_that_the_page_names_then_it_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file(), f"{path} is not there"
    assert name in defined_in(ROOT / path)


def test_given_the_page_then_every_guarantee_names_a_test() -> None:
    assert len(rows()) >= 30
    assert [row for row in rows() if not NAMED.search(row)] == []
