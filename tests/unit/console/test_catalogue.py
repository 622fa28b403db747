"""Every message of the console has its Norwegian, with the same values in it."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog

from console.rendering import environment
from console.words import Words

ROOT = Path(__file__).parents[3]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "messages"))
IN_USE: Catalog = SCRIPT["in_use"]()
KNOWN: Catalog = SCRIPT["known_by_now"]()


def texts(found: object) -> list[str]:
    return [found] if isinstance(found, str) else [str(one) for one in found or ()]  # type: ignore[attr-defined]


def test_given_the_pages_then_each_message_is_translated_and_none_is_left_over() -> None:
    used = {str(message.id) for message in IN_USE if message.id}
    known = {str(message.id) for message in KNOWN if message.id and all(texts(message.string))}

    assert used - known == set(), (
        "run scripts/messages, and translate what is new in console/catalogues/nb.po"
    )
    assert known - used == set(), "run scripts/messages: no page says these any more"


def test_given_a_message_then_its_translation_has_the_same_values() -> None:
    for message in KNOWN:
        if message.id:
            wanted = {value for text in texts(message.id) for value in re.findall(r"{\w+}", text)}
            for text in texts(message.string):
                assert set(re.findall(r"{\w+}", text)) <= wanted, message.id
            given = {value for text in texts(message.string) for value in re.findall(r"{\w+}", text)}
            assert given == wanted, message.id


def english_findings(path: Path) -> list[int]:
    """The lines on which a finding is given its sentence or remedy as a plain string."""

    def is_plain(value: ast.expr) -> bool:
        if isinstance(value, ast.IfExp):
            return is_plain(value.body) or is_plain(value.orelse)
        return isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and value.value != "")

    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    said = {"Finding": slice(2, 4), "Inferred": slice(1, 3)}
    return [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in said
        and any(map(is_plain, call.args[said[call.func.id]]))
    ]


def test_given_a_check_up_then_its_findings_are_sentences_that_can_be_translated() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for folder in ("cli", "connectors")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := english_findings(path))
    }

    assert found == {}


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "All 2 cards are in step."), ("nb", "Alle 2 kort er i takt.")],
)
def test_given_a_language_then_a_count_is_said_in_it(language: str, words: str) -> None:
    said = Words.of(language, ZoneInfo("Europe/Oslo"))

    assert said.texts("The card is in step.", "All {count} cards are in step.", 2) == words


@pytest.mark.parametrize(
    ("zone", "money"),
    [("Europe/Oslo", "-1\xa0234,50\xa0kr"), ("Europe/London", "-NOK1,234.50"), ("UTC", "-NOK1,234.50")],
)
def test_given_where_the_link_is_then_money_is_written_as_there(zone: str, money: str) -> None:
    written = Words.of("en", ZoneInfo(zone)).money(-123_450, "NOK")

    assert written.replace("−", "-").replace("NOK\xa0", "NOK") == money


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("flow shows 1 050.00 NOK too much", "Flow shows 1\xa0050,00\xa0kr too much"),
        ("If Flow is right, say so: accept --side flow.", "If Flow is right, say so: flow is right."),
        ("value --amount, or not_landed", "Another amount, or not landed"),
        ("order 12345 of ABC", "Order 12345 of ABC"),
    ],
)
def test_given_a_sentence_of_the_terminal_then_the_page_says_it_its_own_way(sentence: str, said: str) -> None:
    assert Words.of("en", ZoneInfo("Europe/Oslo")).said(sentence) == said


def test_given_a_sentence_with_a_command_then_the_command_stands_out_and_all_of_it_is_escaped() -> None:
    page = environment().from_string("{{ words|code }}")

    assert page.render(words="Run `giftsync doctor` <b>") == "Run <code>giftsync doctor</code> &lt;b&gt;"
    assert page.render(words="`<script>`") == "<code>&lt;script&gt;</code>"
