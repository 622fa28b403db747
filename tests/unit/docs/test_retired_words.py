"""The words that the glossary retires name nothing in the code any more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = ("cli", "config", "connectors", "console", "examples", "mappings", "sandbox", "sync")
GLOSSARY = ROOT / "docs/reference/glossary.md"


def retired_words() -> set[str]:
    """The left column of the glossary's last table, each word or phrase in the form of a name."""
    table = GLOSSARY.read_text(encoding="utf-8").partition("## Retired words")[2]
    rows = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[1:]
    listed = [word.strip() for row in rows for word in row.split(",") if not row.startswith("---")]
    return {word.replace(" ", "_") for word in listed}


def names_in(path: Path) -> Iterator[str]:
    """Everything that a file names itself: classes, functions, arguments, variables, attributes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name


def as_words(name: str) -> str:
    """A name in lower case, its words parted by underscores."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def test_given_a_word_that_the_glossary_retires_then_no_name_in_the_code_holds_it() -> None:
    retired = retired_words()
    assert {"hearsay", "patient", "use_up"} <= retired
    pattern = re.compile(rf"(?:^|_)(?:{'|'.join(sorted(retired))})(?:_|$)")

    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for name in names_in(path)
        if pattern.search(as_words(name))
    }

    assert sorted(found) == []
