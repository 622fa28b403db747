"""What the worker's log says of a committed decision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.cards.rows import planned_intent
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    IntentChange,
    IntentState,
    MovementKind,
    NewConflict,
    NewIntent,
    NewMovement,
    to_create,
)
from sync.reconcile.decision_log import log_decision, log_met

SERIAL = Serial("1000200030004711")


def card() -> Card:
    p = replace(to_create("flow", SERIAL), born=True, native_id="1")
    return Card("NOK", 10_000, CardStatus.ACTIVE, None, (p, to_create("shopify", SERIAL)))


def test_given_a_movement_then_its_line_says_card_side_and_amount_and_no_serial() -> None:
    taken = NewMovement(MovementKind.OBSERVED, "flow", -2_500, -2_500, 7_500)

    with structlog.testing.capture_logs() as lines:
        log_decision(7, card(), Decision(card(), movements=(taken,)))

    (line,) = lines
    assert line["action"] == "movement.taken"
    assert (line["card_id"], line["card"], line["side"], line["kind"]) == (7, "••••4711", "flow", "observed")
    assert (line["amount_minor"], line["balance_minor"], line["currency"]) == (-2_500, 7_500, "NOK")
    assert SERIAL.reveal() not in str(lines)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (IntentState.APPLIED, "effect.applied"),
        (IntentState.REFUSED, "effect.refused"),
        (IntentState.IN_DOUBT, "effect.in_doubt"),
        (IntentState.WITHDRAWN, "effect.withdrawn"),
        (IntentState.PLANNED, "effect.postponed"),
    ],
)
def test_given_an_effect_that_ended_then_its_action_says_how(state: IntentState, action: str) -> None:
    intent = planned_intent(NewIntent("shopify", EffectKind.DEBIT, -2_500), "gs-1", 1)
    flow, shopify = card().presences
    before = replace(card(), presences=(flow, replace(shopify, open_intents=(intent,))))

    with structlog.testing.capture_logs() as lines:
        log_decision(
            7, before, Decision(before, intent_changes=(IntentChange("gs-1", state, reason="because"),))
        )

    (line,) = lines
    assert (line["action"], line["side"], line["effect"]) == (action, "shopify", "debit")
    assert (line["amount_minor"], line["marker"], line["reason"]) == (-2_500, "gs-1", "because")


def test_given_an_effect_on_its_way_then_nothing_is_said_yet() -> None:
    intent = planned_intent(NewIntent("shopify", EffectKind.DEBIT, -2_500), "gs-1", 1)
    flow, shopify = card().presences
    before = replace(card(), presences=(flow, replace(shopify, open_intents=(intent,))))

    with structlog.testing.capture_logs() as lines:
        log_decision(7, before, Decision(before, intent_changes=(IntentChange("gs-1", IntentState.SENT),)))

    assert lines == []


def test_given_a_conflict_that_is_seen_again_then_it_is_told_once_and_its_end_too() -> None:
    conflict = NewConflict(ConflictKind.OVERDRAFT, "overdraft:1", "Spent twice.", "flow", 500)
    known = replace(card(), causes={"overdraft:1": 1})

    with structlog.testing.capture_logs() as lines:
        log_decision(7, card(), Decision(card(), conflicts=(conflict,)))
        log_decision(7, known, Decision(known, conflicts=(conflict,)))
        log_decision(7, known, Decision(known, causes_gone=("overdraft:1",)))
        log_decision(7, card(), Decision(card(), causes_gone=("overdraft:1",)))

    assert [(line["action"], line["kind"]) for line in lines] == [
        ("conflict.opened", "overdraft"),
        ("conflict.closed", "overdraft"),
    ]


def test_given_a_new_card_then_it_is_met_and_its_opening_told() -> None:
    opening = NewMovement(MovementKind.OPENING, "flow", 10_000, 10_000, 10_000)

    with structlog.testing.capture_logs() as lines:
        log_met(7, Decision(card(), movements=(opening,)))

    assert [line["action"] for line in lines] == ["card.met", "movement.taken"]
