"""The core knows no type of side: what is of one system alone is in its connector (issue of the same
name)."""

from __future__ import annotations

import re
from pathlib import Path

from connectors import registry
from connectors.installed import shipped

ROOT = Path(__file__).parents[3]
CORE = ("sync", "mappings", "config", "cli", "console")
#: A page of facts may be cited anywhere.
CITATION = re.compile(r"\b(?:flow|shopify)\.md\b")
#: Where a type may be named, and why.
EXCEPTIONS = {
    "cli/demo/": "its JSON had these two sides before it had any",
    "cli/emulators.py": "the sandbox serves these two unless it is asked for others",
    "cli/commands/sandbox.py": "its options for the ports of these two are promised",
    "cli/commands/demo.py": "the demo has these two unless it is asked for others",
    "sync/importer/sheets/": "a layout of files is called after the program that exports it",
    "mappings/serials.py": "what the QR codes in use begin with",
    "mappings/redaction.py": "ids in use that are no serials",
}


def named_in(path: Path) -> list[str]:
    """The lines that name a shipped type of a real system."""
    types = "|".join(name for name in shipped() if registry.connector_type(name).in_template)
    pattern = re.compile(rf"(?<![a-z])(?:{types})(?![a-z])", re.IGNORECASE)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(CITATION.sub("", line))
    ]


def test_given_the_core_then_no_line_names_a_type_of_side() -> None:
    files = [path for folder in CORE for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 150

    found = {path.relative_to(ROOT).as_posix(): named_in(path) for path in files}

    outside = [
        line
        for path, lines in found.items()
        if not any(path.startswith(exception) for exception in EXCEPTIONS)
        for line in lines
    ]
    assert outside == []


def test_given_the_exceptions_then_each_is_still_needed() -> None:
    for exception in EXCEPTIONS:
        place = ROOT / exception
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        assert any(named_in(path) for path in files), exception


def test_given_the_core_then_it_imports_no_connector() -> None:
    others = r"connectors\.(?!api\b|kit\b|registry\b|installed\b|bugs\b)"
    pattern = re.compile(rf"^\s*(?:from|import) {others}", re.MULTILINE)
    files = [path for folder in CORE for path in sorted((ROOT / folder).rglob("*.py"))]

    assert [str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text("utf-8"))] == []
