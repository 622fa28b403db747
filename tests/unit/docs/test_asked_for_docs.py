"""docs/explanation/asked-for.md names scenarios and tests; each must exist, and no complaint be left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scenarios.reader import all_scenarios
from tests.unit.docs.test_audit_docs import NAMED, ROOT, defined_in

PAGE = (ROOT / "docs" / "explanation" / "asked-for.md").read_text(encoding="utf-8")
TABLES = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
#: In the right column only: a sentence between asterisks.
SCENARIOS = re.compile(r"\*([^*]+)\*")


def rows() -> list[str]:
    heads = ("| ---", "| asked for", "| complaint")
    return [line for line in TABLES.splitlines() if not line.startswith(heads)]


@pytest.mark.parametrize("name", sorted(set(SCENARIOS.findall(TABLES))))
def test_given_a_scenario_that_the_page_names_then_it_is_played(name: str) -> None:
    assert name in {one.name for one in all_scenarios()}


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED.findall(TABLES))))
def test_given_a_test_that_the_page_names_then_it_exists(path: str, name: str) -> None:
    assert name in defined_in(Path(ROOT / path))


def test_given_the_page_then_every_row_shows_something() -> None:
    assert len(rows()) >= 40
    assert [row for row in rows() if not (SCENARIOS.search(row) or NAMED.search(row))] == []


@pytest.mark.parametrize("word", ["complaint", "Accumula"])
def test_given_a_scenario_about_what_is_asked_for_then_it_is_on_the_page(word: str) -> None:
    about = {one.name for one in all_scenarios() if word in one.about}

    assert about - set(SCENARIOS.findall(TABLES)) == set()
