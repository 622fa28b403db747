"""The demo's outcome for `--json`."""

from __future__ import annotations

from typing import TypedDict

from cli.demo.director import Outcome
from cli.demo.proof import ProofAnswer, proof_json
from cli.demo.watch import Lags
from connectors.api.capabilities import Usage


class DemoAuditAnswer(TypedDict):
    """The ledger recomputed, and every card read back."""

    cards: int
    movements: int
    intent_states: int
    findings: int


class WaitingAnswer(TypedDict):
    """A card on which a person is asked what became of a write."""

    card_id: int | None
    conflict_id: int
    side: str | None
    why: str


class DemoAnswer(TypedDict):
    """How the demo ended."""

    proof: ProofAnswer
    audit: DemoAuditAnswer
    lag_seconds: Lags
    #: What people did.
    movements: int
    #: Payments that a till or the shop refused.
    refused: int
    traffic_seconds: float
    #: Conflicts that wait for a person.
    conflicts: int
    #: Of these, what a side does not tell: whether a write took effect.
    waiting: list[WaitingAnswer]
    #: What each side was asked for.
    usage: dict[str, Usage]
    errors: list[str]


def demo_json(outcome: Outcome, errors: list[str]) -> DemoAnswer:
    return DemoAnswer(
        proof=proof_json(outcome.proof),
        audit=DemoAuditAnswer(
            cards=outcome.audit.cards,
            movements=outcome.audit.movements,
            intent_states=outcome.audit.intent_states,
            findings=len(outcome.findings),
        ),
        lag_seconds=outcome.lags,
        movements=outcome.movements,
        refused=outcome.refused,
        traffic_seconds=round(outcome.traffic_seconds, 3),
        conflicts=outcome.conflicts,
        waiting=[
            WaitingAnswer(card_id=one.card_id, conflict_id=one.id, side=one.side, why=one.summary)
            for one in outcome.asked
        ],
        usage=outcome.usage,
        errors=errors,
    )
