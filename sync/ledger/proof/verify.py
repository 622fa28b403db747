"""One card recomputed from its own rows: what its balance and shadows must be, and whether a row was touched.

Pure: rows in, findings out. `sync.support.audit` streams the rows of every card through here.

The equations, which follow from `sync.decisions.protocol` alone:

    H    = Σ amount_minor of the card's movements
    S(p) = Σ shadow_delta_minor of the movements on p's side
         + Σ amount_minor of the intents on p's side that were never refused nor withdrawn

Every promise enters S when it is planned (settle, create) and leaves it when it is taken back (refuse).
What was observed, adopted, ended with a closed card, or echoed by a second landing enters S through its
movement. An intent that was taken back and lands after all is such an echo: its state becomes `applied`, and
its promise does not return. So the states that an intent has been through decide, not the one it has now.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mappings.lifecycle import CardStatus
from sync.ledger.proof.findings import (
    OPEN,
    CardRows,
    Finding,
    FindingKind,
    Row,
    finding,
    money,
    orphan,
)
from sync.ledger.proof.tamper import Off, check_chain
from sync.ledger.secrets.vault import Vault
from sync.model import IntentState

_TAKEN_BACK = frozenset({IntentState.REFUSED.value, IntentState.WITHDRAWN.value})


@dataclass(frozen=True)
class Expected:
    """What a card's rows add up to, in minor units."""

    balance_minor: int
    shadows: Mapping[str, int]


def recompute(rows: CardRows) -> Expected:
    """Add up the card's movements and promises; see the equations above."""
    taken_back = {state["marker"] for state in rows.intent_states if state["state"] in _TAKEN_BACK}
    shadows: dict[str, int] = {p["side"]: 0 for p in rows.presences}
    for m in rows.movements:
        if m["side"] is not None:
            shadows[m["side"]] = shadows.get(m["side"], 0) + m["shadow_delta_minor"]
    for intent in rows.intents:
        if intent["marker"] not in taken_back:
            shadows[intent["side"]] = shadows.get(intent["side"], 0) + intent["amount_minor"]
    return Expected(sum(m["amount_minor"] for m in rows.movements), shadows)


def check_card(
    rows: CardRows, vault: Vault, currency_of: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Finding]:
    """Everything that is wrong with one card; `currency_of` has the currency of each side."""
    if rows.illegible is not None:
        words = "A row of the card holds something that giftsync never writes, and cannot be read."
        yield Finding(FindingKind.CHANGED, words, rows.illegible)
        return
    if rows.card is None:
        yield from _orphans_of_card(rows)
        return
    unreadable = list(_check_numbers(rows, rows.card))
    if unreadable:
        yield from unreadable
        return
    yield from _check_currency(rows, rows.card, currency_of)
    expected = recompute(rows)
    yield from _check_sums(rows, rows.card, expected)
    yield from _check_balance_after(rows, rows.card)
    yield from _check_references(rows, rows.card)
    yield from _check_intent_states(rows, rows.card)
    off = Off(
        rows.card["balance_minor"] - expected.balance_minor,
        {p["side"]: p["shadow_minor"] - expected.shadows[p["side"]] for p in rows.presences},
    )
    yield from check_chain(rows, rows.card, off, vault)
    yield from _check_in_step(rows, rows.card)


_NUMBERS = {
    "cards": ("balance_minor", "chain_seq"),
    "presences": ("shadow_minor",),
    "movements": ("amount_minor", "shadow_delta_minor", "balance_after_minor", "chain_seq"),
    "intents": ("amount_minor",),
    "intent_states": ("chain_seq",),
}


def _check_numbers(rows: CardRows, card: Row) -> Iterator[Finding]:
    """SQLite stores words in a column of numbers without complaint."""
    tables = {
        "cards": [card],
        "presences": rows.presences,
        "movements": rows.movements,
        "intents": rows.intents,
        "intent_states": rows.intent_states,
    }
    for table, found in tables.items():
        for row in found:
            for name in _NUMBERS[table]:
                if not isinstance(row[name], int):
                    words = f"{name} in {table} is not a whole number."
                    where = row.get("marker") or row.get("id")
                    yield finding(FindingKind.CHANGED, words, card, table=table, row=f"{name} of {where}")


def _check_currency(rows: CardRows, card: Row, currency_of: Mapping[str, str]) -> Iterator[Finding]:
    for p in rows.presences:
        theirs = currency_of.get(p["side"], card["currency"])
        if theirs != card["currency"]:
            words = f"The card is in {card['currency']!r}, its side {p['side']} in {theirs}."
            yield finding(FindingKind.CHANGED, words, card, side=p["side"], table="cards", row="currency")
            return


# --- Sums ---------------------------------------------------------------------------------------------------


def _check_sums(rows: CardRows, card: Row, expected: Expected) -> Iterator[Finding]:
    currency = card["currency"]
    off = card["balance_minor"] - expected.balance_minor
    if off:
        words = (
            f"The hub says {money(card['balance_minor'], currency)}; its movements come to "
            f"{money(expected.balance_minor, currency)}."
        )
        yield finding(FindingKind.BALANCE, words, card, table="cards", row="balance_minor", amount_minor=off)
    for p in rows.presences:
        should = expected.shadows[p["side"]]
        if p["shadow_minor"] != should:
            words = (
                f"The shadow of {p['side']} is {money(p['shadow_minor'], currency)}; its movements "
                f"and intents come to {money(should, currency)}."
            )
            off = p["shadow_minor"] - should
            yield finding(
                FindingKind.SHADOW,
                words,
                card,
                side=p["side"],
                table="presences",
                row="shadow_minor",
                amount_minor=off,
            )


def _check_balance_after(rows: CardRows, card: Row) -> Iterator[Finding]:
    before = 0
    for m in rows.movements:
        off = m["balance_after_minor"] - before - m["amount_minor"]
        if off:
            words = (
                f"The balance after is {money(m['balance_after_minor'], card['currency'])}; "
                f"{money(before + m['amount_minor'], card['currency'])} follows from the one before."
            )
            yield finding(
                FindingKind.BALANCE_AFTER,
                words,
                card,
                side=m["side"],
                table="movements",
                row=f"chain_seq {m['chain_seq']}",
                amount_minor=off,
            )
        before = m["balance_after_minor"]


def _check_in_step(rows: CardRows, card: Row) -> Iterator[Finding]:
    """At rest every side owes nothing, or the ledger says why."""
    if card["held"] or card["due_at"] is not None or card["lease_owner"] is not None:
        return
    busy = {i["side"] for i in rows.intents if i["state"] in OPEN}
    for p in rows.presences:
        owed = card["balance_minor"] - p["shadow_minor"]
        explained = (
            not p["born"]
            or p["stale"]
            or p["hold"] is not None
            or p["shadow_status"] == CardStatus.CLOSED
            or p["side"] in busy
            or p["side"] in rows.disputed
        )
        if owed and not explained:
            words = (
                f"{p['side']} is to show {money(card['balance_minor'], card['currency'])}; it is taken to "
                f"show {money(p['shadow_minor'], card['currency'])}, and nothing waits to settle it."
            )
            yield finding(
                FindingKind.OUT_OF_STEP,
                words,
                card,
                side=p["side"],
                table="presences",
                row="shadow_minor",
                amount_minor=-owed,
            )


# --- Rows that belong together ------------------------------------------------------------------------------


def _check_references(rows: CardRows, card: Row) -> Iterator[Finding]:
    known = {p["side"] for p in rows.presences}
    for m in rows.movements:
        if m["side"] is not None and m["side"] not in known:
            words = f"A movement on {m['side']}, where the card has no presence."
            yield orphan(card["id"], "movements", f"chain_seq {m['chain_seq']}", words)
    for intent in rows.intents:
        if intent["side"] not in known:
            words = f"An intent for {intent['side']}, where the card has no presence."
            yield orphan(card["id"], "intents", intent["marker"], words)


def _check_intent_states(rows: CardRows, card: Row) -> Iterator[Finding]:
    newest = {state["marker"]: state["state"] for state in rows.intent_states}
    for intent in rows.intents:
        recorded = newest.pop(intent["marker"], None)
        if recorded != intent["state"]:
            words = f"The intent says {intent['state']}; the newest state recorded for it is {recorded}."
            yield finding(
                FindingKind.INTENT_STATE,
                words,
                card,
                side=intent["side"],
                table="intents",
                row=intent["marker"],
            )
    for marker in newest:
        yield orphan(card["id"], "intent_states", marker, f"States of an intent {marker} that is not there.")


def _orphans_of_card(rows: CardRows) -> Iterator[Finding]:
    named = {
        "presences": [(p["card_id"], p["side"]) for p in rows.presences],
        "movements": [(m["card_id"], f"chain_seq {m['chain_seq']}") for m in rows.movements],
        "intents": [(i["card_id"], i["marker"]) for i in rows.intents],
        "intent_states": [(s["card_id"], f"chain_seq {s['chain_seq']}") for s in rows.intent_states],
    }
    for table, found in named.items():
        for card_id, row in found:
            yield orphan(
                card_id, table, row, f"A row of {table} belongs to card {card_id}, which is not there."
            )
