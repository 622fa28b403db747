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
from sync.ledger.cards.changes import CARD_CHANGE_PROOF, moves_day
from sync.ledger.cards.digest import digested
from sync.ledger.cards.recorded import RECORDED_PROOF
from sync.ledger.cards.rows import card_of, sums_of
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
from sync.ledger.secrets.vault import Vault, VaultError
from sync.model import Card, IntentState

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
    found = list(_check_numbers(rows, rows.card)) or list(_check_rows(rows, rows.card, vault, currency_of))
    yield from found or _check_digest(rows, rows.card, vault)
    yield from _check_changes(rows, rows.card, vault)


def _check_rows(rows: CardRows, card: Row, vault: Vault, currency_of: Mapping[str, str]) -> Iterator[Finding]:
    yield from _check_currency(rows, card, currency_of)
    expected = recompute(rows)
    yield from _check_sums(rows, card, expected)
    yield from _check_balance_after(rows, card)
    yield from _check_references(rows, card)
    yield from _check_intent_states(rows, card)
    yield from _check_identities(rows, card)
    for one in rows.recorded:
        if not RECORDED_PROOF.holds(one, vault):
            words = "A redemption that waits to be entered is not as giftsync recorded it."
            yield finding(FindingKind.CHANGED, words, card, table="redemptions", row=one["id"])
    off = Off(
        card["balance_minor"] - expected.balance_minor,
        {p["side"]: p["shadow_minor"] - expected.shadows[p["side"]] for p in rows.presences},
    )
    yield from check_chain(rows, card, off, vault)
    yield from _check_in_step(rows, card)


_NUMBERS = {
    "cards": ("balance_minor", "chain_seq"),
    "presences": ("shadow_minor",),
    "movements": ("amount_minor", "shadow_delta_minor", "balance_after_minor", "chain_seq"),
    "intents": ("amount_minor",),
    "intent_states": ("chain_seq",),
    "identities": ("chain_seq",),
}


def _check_numbers(rows: CardRows, card: Row) -> Iterator[Finding]:
    """SQLite stores words in a column of numbers without complaint."""
    tables = {
        "cards": [card],
        "presences": rows.presences,
        "movements": rows.movements,
        "intents": rows.intents,
        "intent_states": rows.intent_states,
        "identities": rows.identities,
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


def newest_identities(rows: CardRows) -> dict[str, Row]:
    """By side: the newest row that says which card the presence is there."""
    return {one["side"]: one for one in rows.identities}


def _check_identities(rows: CardRows, card: Row) -> Iterator[Finding]:
    newest = newest_identities(rows)
    for p in rows.presences:
        said = newest.get(p["side"])
        names = ("native_id", "serial_index", "last_chars", "born")
        if said is None:
            words = f"Nothing in the card's history says which card it is on {p['side']}."
        elif any(p[name] != said[name] for name in names):
            words = (
                f"On {p['side']} it is taken for ••••{p['last_chars']} ({p['native_id']}); its history says "
                f"••••{said['last_chars']} ({said['native_id']})."
            )
        else:
            continue
        named = next((name for name in names if said is not None and p[name] != said[name]), "native_id")
        yield finding(FindingKind.IDENTITY, words, card, side=p["side"], table="presences", row=named)
    for side in newest.keys() - {p["side"] for p in rows.presences}:
        yield orphan(card["id"], "identities", side, f"The card was on {side}; it has no presence there.")


def card_as_read(rows: CardRows, vault: Vault) -> Card:
    """The card that the rows hold. Raises ValueError, TypeError or VaultError for what cannot be read."""
    if rows.card is None:
        raise ValueError("the card is gone")
    return card_of(
        rows.card,
        rows.presences,
        [i for i in rows.intents if i["state"] in OPEN],
        (),
        [r for r in rows.redemptions if r["ends_at"] is not None],
        sums_of(rows.intents, rows.redemptions),
        vault,
    )


def is_worth_proved(rows: CardRows, vault: Vault) -> bool:
    """Whether what the card is worth is as giftsync wrote it last, whatever was done to its older rows.

    The same question as `Store.load` asks before anything is sent.
    """
    if rows.card is None or rows.illegible is not None:
        return False
    try:
        card = card_as_read(rows, vault)
    except (ValueError, TypeError, VaultError):
        return False
    if digested(card, card.chain.seq, card.chain.head, vault).chain != card.chain:
        return False
    chained = len(rows.movements) + len(rows.intent_states) + len(rows.identities)
    amounts = [m["amount_minor"] for m in rows.movements]
    if not all(isinstance(amount, int) for amount in amounts):
        return False  # SQLite keeps words where a number belongs.
    moved = sum(amounts)
    return (chained + card.chain.lost, moved) == (card.chain.seq, card.balance_minor)


def _check_digest(rows: CardRows, card: Row, vault: Vault) -> Iterator[Finding]:
    try:
        read = card_as_read(rows, vault)
    except (ValueError, TypeError, VaultError):
        words = "A row of the card holds something that giftsync never writes, and cannot be read."
        yield finding(FindingKind.CHANGED, words, card, table="cards", row="digest")
        return
    if digested(read, card["chain_seq"], card["chain_head"], vault).chain.digest != card["digest"]:
        words = (
            "The amounts come out, and something that the worker acts on is not as it was written: a status, "
            "a date, a hold, the currency, or what a request is to do."
        )
        yield finding(FindingKind.DIGEST, words, card, table="cards", row="digest")


def _check_changes(rows: CardRows, card: Row, vault: Vault) -> Iterator[Finding]:
    """Changes of the expiry date, from which the books tell which day the card had at a moment."""
    moved = [row for row in rows.changes if moves_day(row)]
    for row in moved:
        if row["proof"] is not None and not CARD_CHANGE_PROOF.holds(row, vault):
            words = "A change of the card's expiry date is not as giftsync wrote it."
            yield finding(FindingKind.CHANGED, words, card, table="card_changes", row=f"id {row['id']}")
            return
    found = [row["expires_before"] for row in moved[1:]] + [card["expires_on"]]
    for row, then in zip(moved, found, strict=False):
        if row["expires_on"] != then:
            words = (
                "The changes of the card's expiry date do not follow from each other: one is gone, was "
                "added, or was changed."
            )
            yield finding(FindingKind.CHANGED, words, card, table="card_changes", row=f"after id {row['id']}")
            return


def _orphans_of_card(rows: CardRows) -> Iterator[Finding]:
    named = {
        "presences": [(p["card_id"], p["side"]) for p in rows.presences],
        "movements": [(m["card_id"], f"chain_seq {m['chain_seq']}") for m in rows.movements],
        "intents": [(i["card_id"], i["marker"]) for i in rows.intents],
        "intent_states": [(s["card_id"], f"chain_seq {s['chain_seq']}") for s in rows.intent_states],
        "identities": [(i["card_id"], f"chain_seq {i['chain_seq']}") for i in rows.identities],
    }
    for table, found in named.items():
        for card_id, row in found:
            yield orphan(
                card_id, table, row, f"A row of {table} belongs to card {card_id}, which is not there."
            )
