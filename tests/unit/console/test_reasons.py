"""Each reason why a row of a file is left out is said in Norwegian, as it is kept in English."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.api.capabilities import Place
from console.reasons import MESSAGES, in_words
from console.words import Words
from tests.integration.console.norwegian import ENGLISH, QUOTED

ROOT = Path(__file__).parents[3]
NORWEGIAN = Words.of("nb", ZoneInfo("Europe/Oslo"))
PLACES = {"flow": Place("Flow", "")}
#: What raises a reason, and which of its arguments that is.
RAISED = {"CellError": 0, "SerialError": 0, "Verdict": 1, "BadCell": 1}
RETURNED = {"accepts_serial", "spoiled", "_idle", "_over_limits", "_over_bound", "may_be_store_card"}
RETURNED |= {"_ragged", "_reason"}
#: Values that are words of the sentence.
FILLED = {
    "{_AS_TEXT}": "format that column as text and export again",
    "{words}": "negative",
    "{rules.first_contact.value}": "lower",
}
#: Of what a value may stand for in these sentences.
VALUES = {
    "side": "flow",
    "day": "2027-12-31",
    "money": "1 234.50 NOK",
    "reason": "the date does not exist",
    "place": "line 7 of till.csv",
    "places": "line 3, line 7",
    "doubt": "it was not bought online and its code ends in four digits, as store numbers do",
}


def texts(node: ast.expr | None) -> Iterator[str]:
    """The sentences that an expression may be, with `X` for each value."""
    if isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(one.value) if isinstance(one, ast.Constant) else FILLED.get(ast.unparse(one), "X")
            for one in node.values
        )


def reasons_in_code() -> Iterator[str]:
    paths = [*(ROOT / "sync" / "importer").rglob("*.py"), ROOT / "mappings" / "serials.py"]
    paths += [
        ROOT / "connectors" / "api" / "capabilities.py",
        ROOT / "sync" / "decisions" / "first_contact.py",
    ]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED:
                yield from texts(node.args[RAISED[node.func.id]] if node.args else None)
            if isinstance(node, ast.FunctionDef) and node.name in RETURNED:
                for one in ast.walk(node):
                    if isinstance(one, ast.Return):
                        said = "the number " if node.name == "accepts_serial" else ""
                        yield from (said + text for text in texts(one.value))


@pytest.mark.parametrize("reason", sorted(set(reasons_in_code())))
def test_given_a_reason_that_the_importer_gives_then_its_norwegian_has_no_english(reason: str) -> None:
    said = in_words(reason, NORWEGIAN, PLACES)

    assert said != reason
    assert ENGLISH.findall(QUOTED.sub(" ", said)) == [], said


@pytest.mark.parametrize("language", ["en", "nb"])
def test_given_a_reason_whose_remedy_is_a_command_then_a_page_names_what_its_reader_can_do(
    language: str,
) -> None:
    words = Words.of(language, ZoneInfo("Europe/Oslo"))

    said = [in_words(message.format_map(_Given()), words, PLACES) for message in MESSAGES]

    assert [one for one in said if " --" in one or "`" in one] == []


@pytest.mark.parametrize("message", MESSAGES)
def test_given_a_message_with_its_values_then_it_is_found_again(message: str) -> None:
    reason = message.format_map(_Given())

    said = in_words(reason, NORWEGIAN, PLACES)
    assert said.casefold() != reason.casefold()
    assert ENGLISH.findall(QUOTED.sub(" ", said)) == [], said


class _Given(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return VALUES.get(name, "7")


def test_given_values_then_they_are_said_as_the_reader_writes_them() -> None:
    assert in_words("expired on 2027-12-31", NORWEGIAN, {}) == "Utløp 31. desember 2027"
    assert in_words("flow has no such card", NORWEGIAN, PLACES).startswith("Flow ")
    bound = in_words("more than one card may hold online (1 234.50 NOK)", NORWEGIAN, {})
    assert bound.replace("\xa0", " ").endswith("(1 234,50 kr)")


def test_given_a_sides_own_words_then_they_stay() -> None:
    assert in_words("Shopify says: unknown type", NORWEGIAN, {}) == "Shopify says: unknown type"
