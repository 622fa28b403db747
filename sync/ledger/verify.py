"""One card recomputed from its own rows: what its balance and shadows must be, and whether a row was touched.

Pure: rows in, findings out. `sync.audit` streams the rows of every card through here.

The equations, which follow from `sync.decide` alone:

    H    = Σ amount_minor of the card's movements
    S(p) = Σ shadow_delta_minor of the movements on p's side
         + Σ amount_minor of the intents on p's side that were never refused nor withdrawn

Every promise enters S when it is planned (settle, create) and leaves it when it is taken back (refuse, withdraw).
What was observed, adopted, ended with a closed card, or echoed by a second landing enters S through its movement.
An intent that was taken back and lands after all is such an echo: its state becomes `applied`, but its promise does
not return, which is why the states that an intent has been through decide, and not the one that it has now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import Any

from connectors.base import EffectKind
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from sync.ledger.chain import MOVEMENT_FIELDS, STATE_FIELDS, canonical
from sync.ledger.vault import Vault
from sync.model import IntentState, MovementKind

#: Comparing every touched row with every touched position is for a few rows.
REORDERED_ROWS_MAX = 16

_TAKEN_BACK = frozenset({IntentState.REFUSED.value, IntentState.WITHDRAWN.value})


class FindingKind(StrEnum):
    """What an audit can find. The first nine are discrepancies of the ledger itself."""

    #: The hub's balance is not the sum of the card's movements.
    BALANCE = "balance"
    #: A movement's balance after it does not follow from the one before.
    BALANCE_AFTER = "balance_after"
    #: A shadow is not what the card's movements and intents make it.
    SHADOW = "shadow"
    #: An intent's state is not the newest that was recorded for it.
    INTENT_STATE = "intent_state"
    #: An append-only row is not as it was written.
    CHANGED = "changed"
    #: An append-only row is gone.
    MISSING = "missing"
    #: A row was added that giftsync did not write.
    ADDED = "added"
    #: A row stands where another one was written.
    REORDERED = "reordered"
    #: A row belongs to a card, side or intent that is not there.
    ORPHAN = "orphan"
    #: A side owes the card money, and nothing waits that would settle it.
    OUT_OF_STEP = "out_of_step"
    #: Live: a side shows something else than its shadow; somebody moved it and it is not taken in yet.
    MOVED_SINCE = "moved_since"
    #: Live: a side does not show a card that it had.
    ABSENT = "absent"
    #: Live: a side, or a card on it, could not be read.
    UNREAD = "unread"

    @property
    def is_discrepancy(self) -> bool:
        """Whether the ledger contradicts itself; what sides show meanwhile does not."""
        return self not in (FindingKind.MOVED_SINCE, FindingKind.ABSENT, FindingKind.UNREAD)


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found."""

    kind: FindingKind
    #: A sentence for people.
    summary: str
    card_id: int | None = None
    side: str | None = None
    #: The table whose row it is about, and the row: `chain_seq 3`, or an intent's marker.
    table: str = ""
    row: str = ""
    #: Signed, in minor units: what is there less what should be; 0 where no amount is concerned.
    amount_minor: int = 0
    currency: str = ""


Row = Mapping[str, Any]


@dataclass
class CardRows:
    """Everything the ledger holds about one card, each list in the order of its key."""

    #: None: rows without their card.
    card: Row | None
    presences: list[Row] = field(default_factory=list)
    movements: list[Row] = field(default_factory=list)
    intents: list[Row] = field(default_factory=list)
    intent_states: list[Row] = field(default_factory=list)
    #: Sides with an open conflict of this card.
    disputed: set[str | None] = field(default_factory=set)


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


def check_card(rows: CardRows, vault: Vault) -> Iterator[Finding]:
    """Everything that is wrong with one card."""
    if rows.card is None:
        yield from _orphans_of_card(rows)
        return
    expected = recompute(rows)
    yield from _check_sums(rows, rows.card, expected)
    yield from _check_balance_after(rows, rows.card)
    yield from _check_references(rows, rows.card)
    yield from _check_intent_states(rows, rows.card)
    yield from _check_chain(rows, rows.card, expected, vault)
    yield from _check_in_step(rows, rows.card)


# --- Sums ---------------------------------------------------------------------------------------------------


def _check_sums(rows: CardRows, card: Row, expected: Expected) -> Iterator[Finding]:
    currency = card["currency"]
    off = card["balance_minor"] - expected.balance_minor
    if off:
        words = (
            f"The hub says {format_money(card['balance_minor'], currency)}; its movements come to "
            f"{format_money(expected.balance_minor, currency)}."
        )
        yield _finding(FindingKind.BALANCE, words, card, table="cards", row="balance_minor", amount_minor=off)
    for p in rows.presences:
        should = expected.shadows[p["side"]]
        if p["shadow_minor"] != should:
            words = (
                f"The shadow of {p['side']} is {format_money(p['shadow_minor'], currency)}; its movements and "
                f"intents come to {format_money(should, currency)}."
            )
            off = p["shadow_minor"] - should
            yield _finding(
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
                f"The balance after is {format_money(m['balance_after_minor'], card['currency'])}; "
                f"{format_money(before + m['amount_minor'], card['currency'])} follows from the one before."
            )
            yield _finding(
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
    waits = card["held"] or card["due_at"] is not None or card["lease_owner"] is not None
    if waits or None in rows.disputed:
        return
    busy = {i["side"] for i in rows.intents if IntentState(i["state"]).is_open}
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
                f"{p['side']} is to show {format_money(card['balance_minor'], card['currency'])}; it is taken to "
                f"show {format_money(p['shadow_minor'], card['currency'])}, and nothing waits to settle it."
            )
            yield _finding(
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
            yield _orphan(card["id"], "movements", f"chain_seq {m['chain_seq']}", words)
    for intent in rows.intents:
        if intent["side"] not in known:
            words = f"An intent for {intent['side']}, where the card has no presence."
            yield _orphan(card["id"], "intents", intent["marker"], words)


def _check_intent_states(rows: CardRows, card: Row) -> Iterator[Finding]:
    newest = {state["marker"]: state["state"] for state in rows.intent_states}
    for intent in rows.intents:
        recorded = newest.pop(intent["marker"], None)
        if recorded != intent["state"]:
            words = f"The intent says {intent['state']}; the newest state recorded for it is {recorded}."
            yield _finding(
                FindingKind.INTENT_STATE,
                words,
                card,
                side=intent["side"],
                table="intents",
                row=intent["marker"],
            )
    for marker in newest:
        yield _orphan(card["id"], "intent_states", marker, f"States of an intent {marker} that is not there.")


def _orphans_of_card(rows: CardRows) -> Iterator[Finding]:
    named = {
        "presences": [(p["card_id"], p["side"]) for p in rows.presences],
        "movements": [(m["card_id"], f"chain_seq {m['chain_seq']}") for m in rows.movements],
        "intents": [(i["card_id"], i["marker"]) for i in rows.intents],
        "intent_states": [(s["card_id"], f"chain_seq {s['chain_seq']}") for s in rows.intent_states],
    }
    for table, found in named.items():
        for card_id, row in found:
            yield _orphan(
                card_id, table, row, f"A row of {table} belongs to card {card_id}, which is not there."
            )


def _orphan(card_id: int, table: str, row: str, words: str) -> Finding:
    return Finding(FindingKind.ORPHAN, words, card_id, table=table, row=row)


def _finding(kind: FindingKind, words: str, card: Row, **more: Any) -> Finding:
    return Finding(kind, words, card["id"], currency=card["currency"], **more)


# --- The chain ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Link:
    """One row of a card's chain, with what its hash covers."""

    table: str
    fields: tuple[str, ...]
    seq: int
    covered: Row
    stored: str

    def hash_after(self, head: str, vault: Vault, **instead: object) -> str:
        return vault.chain(head, canonical({**self.covered, **instead}, self.fields))

    def follows(self, heads: Iterable[str], vault: Vault, **instead: object) -> bool:
        """Whether its stored hash is right after one of these heads, with some fields as given instead."""
        return any(self.stored == self.hash_after(head, vault, **instead) for head in heads)


@dataclass(frozen=True)
class _Touched:
    """A row whose hash does not fit, and the heads that it should follow."""

    link: _Link
    heads: tuple[str, ...]
    #: Its content fits the rows around it; the hash itself was changed.
    only_hash: bool = False


def _links(rows: CardRows) -> list[_Link]:
    intents = {i["marker"]: i for i in rows.intents}
    nothing = {"side": None, "kind": None, "amount_minor": None}
    links = [_Link("movements", MOVEMENT_FIELDS, m["chain_seq"], m, m["chain_hash"]) for m in rows.movements]
    for state in rows.intent_states:
        intent = intents.get(state["marker"], nothing)
        covered = {**state, **{f"intent_{name}": intent[name] for name in nothing}}
        links.append(_Link("intent_states", STATE_FIELDS, state["chain_seq"], covered, state["chain_hash"]))
    return sorted(links, key=lambda link: link.seq)


def _check_chain(rows: CardRows, card: Row, expected: Expected, vault: Vault) -> Iterator[Finding]:
    """Follow the chain to the head on the card's row, and name every row that breaks it."""
    last = card["chain_seq"]
    heads: tuple[str, ...] = ("",)
    position = 1
    touched: list[_Touched] = []
    for seq, group in groupby(_links(rows), key=lambda link: link.seq):
        here = list(group)
        if not 1 <= seq <= last:
            yield from (_added(card, link) for link in here)
            continue
        if seq > position:
            yield from (_missing(card, gone) for gone in range(position, seq))
            heads = ()  # What the next row is bound to is gone, so only those after it can be followed.
        link = next((one for one in here if one.follows(heads, vault)), here[0])
        yield from (_added(card, other) for other in here if other is not link)
        next_heads = (vault.head(link.stored),)
        if heads and not link.follows(heads, vault):
            touched.append(_Touched(link, heads))
            # If only its hash was changed, the next row is bound to the hash that it had.
            next_heads += tuple(vault.head(link.hash_after(head, vault)) for head in heads)
        elif touched and len(heads) > 1 and not link.follows(heads[:1], vault):
            touched[-1] = replace(touched[-1], only_hash=True)
        heads, position = next_heads, seq + 1
    yield from _check_end(card, position, heads, touched)
    yield from _named(_explain(touched, rows, card, expected, vault))


def _check_end(
    card: Row, position: int, heads: tuple[str, ...], touched: list[_Touched]
) -> Iterator[Finding]:
    if position <= card["chain_seq"]:
        yield from (_missing(card, gone) for gone in range(position, card["chain_seq"] + 1))
    elif position > 1 and card["chain_head"] not in heads:
        words = "The head of the chain on the card's row is not that of the card's last row."
        yield _finding(FindingKind.CHANGED, words, card, table="cards", row="chain_head")
    elif position == 1 and card["chain_head"]:
        words = "The card's row has the head of a chain, and there are no rows."
        yield _finding(FindingKind.CHANGED, words, card, table="cards", row="chain_head")
    elif touched and len(heads) > 1 and card["chain_head"] != heads[0]:
        touched[-1] = replace(touched[-1], only_hash=True)


def _missing(card: Row, seq: int) -> Finding:
    words = f"Row {seq} of the card's chain is gone; it was a movement or a state of an intent."
    return _finding(
        FindingKind.MISSING, words, card, table="movements or intent_states", row=f"chain_seq {seq}"
    )


def _added(card: Row, link: _Link) -> Finding:
    words = f"A row of {link.table} at {link.seq} is not of the card's chain; giftsync did not write it."
    amount = link.covered["amount_minor"] if link.table == "movements" else 0
    return _finding(
        FindingKind.ADDED, words, card, table=link.table, row=f"chain_seq {link.seq}", amount_minor=amount
    )


def _named(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each once: a changed intent shows in every state that it has been through."""
    seen: set[Finding] = set()
    for finding in findings:
        if finding not in seen:
            seen.add(finding)
            yield finding


def _explain(
    touched: Sequence[_Touched], rows: CardRows, card: Row, expected: Expected, vault: Vault
) -> Iterator[Finding]:
    for one in touched:
        link = one.link
        where = {"table": link.table, "row": f"chain_seq {link.seq}"}
        if one.only_hash:
            words = f"The chain_hash of row {link.seq} is not the one that was written; its content is."
            yield _finding(FindingKind.CHANGED, words, card, **where)
            continue
        place = _written_at(one, touched, vault)
        if place is not None:
            words = f"Row {link.seq} of the card's chain was written at {place}."
            yield _finding(FindingKind.REORDERED, words, card, **where)
            continue
        for name, written in _guesses(link, rows, card, expected):
            if link.covered[name] != written and link.follows(one.heads, vault, **{name: written}):
                yield _changed_field(link, name, written, card, where)
                break
        else:
            words = f"Row {link.seq} of the card's chain is not as it was written."
            yield _finding(FindingKind.CHANGED, words, card, **where)


def _changed_field(link: _Link, name: str, written: object, card: Row, where: Mapping[str, str]) -> Finding:
    now = link.covered[name]
    off = now - written if isinstance(now, int) and isinstance(written, int) else 0
    if name.startswith("intent_"):
        name = name.removeprefix("intent_")
        where = {"table": "intents", "row": str(link.covered["marker"])}
    words = f"{name} in {where['table']} says {now}; {written} was written."
    return _finding(FindingKind.CHANGED, words, card, amount_minor=off, **where)


def _written_at(one: _Touched, touched: Sequence[_Touched], vault: Vault) -> int | None:
    """Where in the chain a touched row fits as it stands, if it was moved."""
    if not 1 < len(touched) <= REORDERED_ROWS_MAX:
        return None
    moved_heads = [vault.head(other.link.stored) for other in touched]
    for other in touched:
        seq = other.link.seq
        if seq != one.link.seq and one.link.follows([*other.heads, *moved_heads], vault, chain_seq=seq):
            return seq
    return None


def _guesses(link: _Link, rows: CardRows, card: Row, expected: Expected) -> Iterator[tuple[str, object]]:
    """What one field may have been; the hash tells which guess is right, if any is.

    Amounts follow from the sums that do not come out; words are of a known few.
    """
    shadows = {p["side"]: p["shadow_minor"] - expected.shadows[p["side"]] for p in rows.presences}
    sides = [p["side"] for p in rows.presences]
    if link.table == "intent_states":
        state = link.covered
        if state["intent_amount_minor"] is not None:
            yield "intent_amount_minor", state["intent_amount_minor"] + shadows.get(state["intent_side"], 0)
        yield from (("state", member.value) for member in IntentState)
        yield from (("intent_kind", member.value) for member in EffectKind)
        yield from (("intent_side", side) for side in sides)
        return
    m = link.covered
    before = next(
        (o["balance_after_minor"] for o in reversed(rows.movements) if o["chain_seq"] < link.seq), 0
    )
    yield "amount_minor", m["balance_after_minor"] - before
    yield "amount_minor", m["amount_minor"] + card["balance_minor"] - expected.balance_minor
    yield "shadow_delta_minor", m["shadow_delta_minor"] + shadows.get(m["side"], 0)
    yield "balance_after_minor", before + m["amount_minor"]
    yield from (("kind", member.value) for member in MovementKind)
    yield from (("side", side) for side in [*sides, None])
