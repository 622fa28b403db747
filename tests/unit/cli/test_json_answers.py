"""The schemas of the JSON answers: made from the types, written down, and there for every command."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from jsonschema import Draft202012Validator

from cli.__main__ import JSON_PAGE, SCHEMAS
from cli.main import app
from cli.schemas import ANSWERS, render_page, schema_files, schema_of

ROOT = Path(__file__).parents[3]


#: Their commands answer with keys of their own.
CONNECTORS = {"shopify", "contract"}


def commands_with_json(path: tuple[str, ...], command: Any) -> Iterator[str]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands_with_json((*path, name), inner)
    if not hasattr(command, "commands") and any("--json" in p.opts for p in command.params):
        yield " ".join(path)


def emitted_names() -> Iterator[str]:
    """The first argument of every `emit(...)` in the commands, where it is written out."""
    for file in (ROOT / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "emit":
                name = node.args[0]
                if isinstance(name, ast.Constant):
                    yield str(name.value)


def test_given_the_answers_then_page_and_schemas_are_made_from_them() -> None:
    assert (ROOT / JSON_PAGE).read_text(encoding="utf-8") == render_page(), "run: python -m cli"
    written = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / SCHEMAS).glob("*.json")}
    assert written == dict(schema_files()), "run: python -m cli"


def test_given_a_command_that_prints_json_then_its_answer_has_a_schema() -> None:
    found = set(commands_with_json((), typer.main.get_command(app)))
    # `giftsync close 2026-11` is short for `close month 2026-11`.
    found = (found - {"close month"}) | {"close"}
    brought = {name for name in found if name.split()[0] in CONNECTORS}
    assert found - brought - set(ANSWERS) == set()
    assert set(emitted_names()) <= set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_given_an_answer_then_its_schema_is_one_and_names_every_key(name: str) -> None:
    made = schema_of(name)

    Draft202012Validator.check_schema(made)
    assert made["$id"] == f"giftsync/{name.replace(' ', '-')}/1"
    assert made["required"] == list(made["properties"])
    assert made["required"][0] == "schema"
    assert made["required"][-1] == "exit_code"
    assert made["description"]
    # What giftsync says never has a number: only its last characters.
    assert "serial" not in made["properties"]
