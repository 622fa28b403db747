"""How much of a probe is left on its card, told from the moves and, where they are unclear, the balance."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.api.card import CardRef
from connectors.api.doctor import ProbeContext, Verdict
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, NotFound, Save
from connectors.api.errors import InDoubt, NotSent, SideClosed, Throttled
from connectors.kit.probing import Move, Outcome, Trial
from mappings.serials import Serial
from tests.contract.examined import Notes

CREDIT, DEBIT = EffectKind.CREDIT, EffectKind.DEBIT


class EffectPort:
    """Answers from a list; an exception is raised, anything else is a landing."""

    def __init__(self, *answers: Exception | None, found: FindResult | Exception | None = None) -> None:
        self.answers = list(answers)
        self.found = found or NotFound()
        self.sent: list[str] = []

    def apply(self, effect: Effect, save: Save) -> Applied:
        self.sent.append(effect.marker)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return Applied("1")

    def find(self, effect: Effect) -> FindResult:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def trial(pauses: list[float]) -> Trial:
    markers = iter(f"gs-{number}" for number in range(100))
    context = ProbeContext(Serial("1234567890123456"), Notes(), 5.0, lambda: next(markers))
    return Trial(CardRef("1"), "3456", "NOK", 250_00, context, pauses.append)


def moved(kind: EffectKind, outcome: Outcome) -> Move:
    return Move("gs-x", kind, 100, outcome)


@pytest.mark.parametrize(
    ("moves", "balance", "left"),
    [
        ([], 250_00, 0),
        ([(CREDIT, "landed")], 251_00, 100),
        ([(CREDIT, "landed")], 250_00, 0),  # A person took it off.
        ([(CREDIT, "landed")], 221_00, 100),  # Somebody else spent 30.00.
        ([(CREDIT, "landed"), (DEBIT, "landed")], 220_00, 0),
        ([(DEBIT, "landed"), (CREDIT, "refused")], 249_00, -100),
        ([(CREDIT, "unclear")], 250_00, 0),
        ([(CREDIT, "unclear")], 251_00, 100),
        ([(CREDIT, "unclear")], 221_00, None),
        ([(DEBIT, "landed"), (CREDIT, "unclear")], 249_00, -100),
        ([(DEBIT, "landed"), (CREDIT, "unclear")], 220_00, None),
    ],
)
def test_what_is_left(
    trial: Trial, moves: list[tuple[EffectKind, str]], balance: int, left: int | None
) -> None:
    trial.moves = [moved(kind, Outcome(outcome)) for kind, outcome in moves]
    assert trial.left_minor(balance) == left
    ending = trial.ending(balance)
    assert ending.evidence["left_minor"] == left
    assert ending.verdict is (Verdict.OK if left == 0 else Verdict.WARNING)
    if left:
        assert "1.00 NOK" in ending.sentence
    assert "1234567890123456" not in ending.sentence


@pytest.mark.parametrize(
    ("answers", "outcome", "sent"),
    [
        ((None,), Outcome.LANDED, 1),
        ((NotSent("away"), None), Outcome.LANDED, 2),
        ((Throttled("slow", 3.0), None), Outcome.LANDED, 2),
        ((SideClosed("no scope", "grant it"),), Outcome.REFUSED, 1),
        ((InDoubt("lost"), None), Outcome.LANDED, 2),
        ((NotSent("away"),) * 9, Outcome.REFUSED, 4),
    ],
)
def test_a_move_ends_with_a_sure_outcome(
    trial: Trial, answers: tuple[Any, ...], outcome: Outcome, sent: int
) -> None:
    hand = EffectPort(*answers)
    assert trial.move(hand, CREDIT, 100).outcome is outcome
    assert hand.sent == ["gs-0"] * sent


def test_a_doubtful_move_is_not_sent_again_before_the_quiet_time(trial: Trial, pauses: list[float]) -> None:
    trial.move(EffectPort(InDoubt("lost"), None), CREDIT, 100)
    assert pauses == [5.0]


def test_a_move_that_cannot_be_looked_for_is_unclear_and_never_repeated(trial: Trial) -> None:
    hand = EffectPort(InDoubt("lost"), found=InDoubt("still away"))
    assert trial.move(hand, CREDIT, 100).outcome is Outcome.UNCLEAR
    assert len(hand.sent) == 1


def test_it_is_noted_before_it_is_sent(trial: Trial) -> None:
    journal = trial.context.journal

    class Looks(EffectPort):
        def apply(self, effect: Effect, save: Save) -> Applied:
            assert isinstance(journal, Notes)
            assert journal.kept is not None
            assert journal.kept["moves"][-1]["marker"] == effect.marker
            assert journal.kept["moves"][-1]["outcome"] == "open"
            return super().apply(effect, save)

    assert trial.move(Looks(), DEBIT, 100).landed


def test_another_way_back_is_tried_only_when_one_surely_did_nothing(trial: Trial) -> None:
    trial.moves = [moved(DEBIT, Outcome.LANDED)]
    refused, unclear, third = (
        EffectPort(SideClosed("no", "")),
        EffectPort(InDoubt("lost"), found=InDoubt("away")),
        EffectPort(),
    )
    trial.put_back({CREDIT: [refused, unclear, third]}, 249_00)
    assert [len(hand.sent) for hand in (refused, unclear, third)] == [1, 1, 0]
