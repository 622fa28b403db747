"""The demo, short: real traffic on both emulators must end with the proof."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cli import main


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_it_ends_with_the_proof(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["demo", "--duration", "4", "--cards", "6", "--seed", "2", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    assert answer["proof"]["holds"] is True
    assert answer["proof"]["difference"] == "0.00"
    assert answer["movements"] > 0
    assert answer["lag_seconds"]["count"] > 0
    assert answer["lag_seconds"]["waiting"] == 0
    assert answer["errors"] == []


@pytest.mark.slow
def test_it_ends_with_the_proof_under_faults(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["demo", "--duration", "10", "--cards", "20", "--faults", "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert code == 0, answer
    assert answer["proof"]["holds"] is True


def test_for_people_it_says_so_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["demo", "--duration", "1", "--cards", "2"])

    captured = capsys.readouterr()
    assert code == 0
    assert "Proved: every card is the same on both sides, and nothing was created or lost." in captured.out
    assert "cards in step" in captured.err
    assert "\x1b" not in captured.out + captured.err
