"""How far a pass is, where there is no terminal."""

from __future__ import annotations

from cli.commands.sync import LINE_SECONDS, ProgressLines
from sync.worker.passes import PassReport


def test_a_line_is_said_every_few_seconds_and_tells_what_is_done() -> None:
    said: list[str] = []
    now = [100.0]
    progress = ProgressLines(said.append, lambda: now[0])
    for second in range(3 * int(LINE_SECONDS)):
        now[0] = 100.0 + second
        progress("matching cards", PassReport(hints=7, met=second))

    assert said == [
        "Matching cards (7 hints, 10 new, 0 looked at, 0 worked on)",
        "Matching cards (7 hints, 20 new, 0 looked at, 0 worked on)",
    ]


def test_a_short_pass_says_nothing() -> None:
    said: list[str] = []
    ProgressLines(said.append, lambda: 0.0)("reading flow receipts", PassReport())

    assert said == []


def test_a_step_that_takes_long_is_told_of_again_while_it_lasts() -> None:
    said: list[str] = []
    now = [100.0]
    lines = ProgressLines(said.append, lambda: now[0])
    report = PassReport(hints=250)
    lines("reading shopify new_cards", report)
    for second in range(1, 3 * int(LINE_SECONDS)):
        now[0] = 100.0 + second
        report.hints += 250
        lines.tell()

    assert said == [
        "Reading shopify new_cards (2750 hints, 0 new, 0 looked at, 0 worked on)",
        "Reading shopify new_cards (5250 hints, 0 new, 0 looked at, 0 worked on)",
    ]
