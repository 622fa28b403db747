"""Follow a card's hash chain and name every row that is not as it was written.

Each row's hash is bound to the head before it, and the head on the card's row is bound to the last of them.
Both need the key. Where a row does not fit, the chain is taken up again after it, so that one touched row is
one finding; then a few guesses tell what was changed in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from connectors.api.effect import EffectKind
from sync.ledger.cards.chain import IDENTITY_FIELDS, MOVEMENT_FIELDS, STATE_FIELDS, canonical
from sync.ledger.proof.findings import CardRows, Finding, FindingKind, Row, finding
from sync.ledger.secrets.vault import Vault
from sync.model import IntentState, MovementKind

#: Comparing every touched row with every touched position is for a few rows.
REORDERED_ROWS_MAX = 16


@dataclass(frozen=True)
class Off:
    """By how much a card's sums do not come out: what is there less what the rows come to, in minor units."""

    balance_minor: int
    shadows: Mapping[str, int]


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
    links += [
        _Link("identities", IDENTITY_FIELDS, one["chain_seq"], one, one["chain_hash"])
        for one in rows.identities
    ]
    return sorted(links, key=lambda link: link.seq)


@dataclass(frozen=True)
class Rehashed:
    """A row of a chain and the hash that it has under another key."""

    table: str
    row_id: int
    chain_hash: str


def rehashed(
    rows: CardRows, card: Row, old: Vault, new: Vault, identity: Callable[[Row], Row]
) -> tuple[list[Rehashed], str]:
    """The hashes of a card's chain under a new key, and its head. A row that does not fit keeps its hash.

    `identity` gives an identity's row as the new key has it.
    """
    changed: list[Rehashed] = []
    before: tuple[str, ...] = ("",)
    head = ""
    position = 1
    for seq, group in groupby(_links(rows), key=lambda link: link.seq):
        here = list(group)
        fitting = [one for one in here if seq == position and one.follows(before, old)]
        link = (fitting or here)[0]
        stored = link.stored
        if fitting:
            covered = identity(link.covered) if link.table == "identities" else link.covered
            stored = new.chain(head, canonical(covered, link.fields))
            changed.append(Rehashed(link.table, link.covered["id"], stored))
        before, head, position = (old.head(link.stored),), new.head(stored), seq + 1
    return changed, head if card["chain_head"] in before else card["chain_head"]


def check_chain(rows: CardRows, card: Row, off: Off, vault: Vault) -> Iterator[Finding]:
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
            yield _missing(card, position, seq - 1)
            heads = ()  # What the next row is bound to is gone, so only those after it can be followed.
        fitting = [one for one in here if one.follows(heads, vault)]
        link = (fitting or here)[0]
        yield from (_added(card, other) for other in here if other is not link)
        next_heads: tuple[str, ...] = (vault.head(link.stored),)
        if heads and not fitting:
            touched.append(_Touched(link, heads))
            # If only its hash was changed, the next row is bound to the hash that it had.
            next_heads += (vault.head(link.hash_after(heads[0], vault)),)
        elif touched and len(heads) > 1 and not link.follows(heads[:1], vault):
            touched[-1] = replace(touched[-1], only_hash=True)
        heads, position = next_heads, seq + 1
    yield from _check_end(card, position, heads, touched)
    yield from _named(_explain(touched, rows, card, off, vault))


def _check_end(
    card: Row, position: int, heads: tuple[str, ...], touched: list[_Touched]
) -> Iterator[Finding]:
    if position <= card["chain_seq"]:
        yield _missing(card, position, card["chain_seq"])
    elif position > 1 and card["chain_head"] not in heads:
        words = "The head of the chain on the card's row is not that of the card's last row."
        yield finding(FindingKind.CHANGED, words, card, table="cards", row="chain_head")
    elif position == 1:
        yield _missing(card, 1, 1)  # Every card begins with its opening movement.
    elif touched and len(heads) > 1 and card["chain_head"] != heads[0]:
        touched[-1] = replace(touched[-1], only_hash=True)


def _missing(card: Row, first: int, last: int) -> Finding:
    rows = f"{first}" if first == last else f"{first} to {last}"
    words = f"Row {rows} of the card's chain is gone: a movement or a state of an intent."
    where = "movements, intent_states or identities"
    return finding(FindingKind.MISSING, words, card, table=where, row=f"chain_seq {rows}")


def _added(card: Row, link: _Link) -> Finding:
    words = f"A row of {link.table} at {link.seq} is not of the card's chain; giftsync did not write it."
    amount = link.covered["amount_minor"] if link.table == "movements" else 0
    return finding(
        FindingKind.ADDED, words, card, table=link.table, row=f"chain_seq {link.seq}", amount_minor=amount
    )


def _named(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each once: a changed intent shows in every state that it has been through."""
    seen: set[Finding] = set()
    for one in findings:
        if one not in seen:
            seen.add(one)
            yield one


def _explain(
    touched: Sequence[_Touched], rows: CardRows, card: Row, off: Off, vault: Vault
) -> Iterator[Finding]:
    for one in touched:
        link = one.link
        where = {"table": link.table, "row": f"chain_seq {link.seq}"}
        if one.only_hash:
            words = f"The chain_hash of row {link.seq} is not the one that was written; its content is."
            yield finding(FindingKind.CHANGED, words, card, **where)
            continue
        place = _written_at(one, touched, vault)
        if place is not None:
            words = f"Row {link.seq} of the card's chain was written at {place}."
            yield finding(FindingKind.REORDERED, words, card, **where)
            continue
        for name, written in _guesses(link, rows, off):
            if link.covered[name] != written and link.follows(one.heads, vault, **{name: written}):
                yield _changed_field(link, name, written, card, where)
                break
        else:
            words = f"Row {link.seq} of the card's chain is not as it was written."
            yield finding(FindingKind.CHANGED, words, card, **where)


def _changed_field(link: _Link, name: str, written: object, card: Row, where: Mapping[str, str]) -> Finding:
    now = link.covered[name]
    off = now - written if isinstance(now, int) and isinstance(written, int) else 0
    if name.startswith("intent_"):
        name = name.removeprefix("intent_")
        where = {"table": "intents", "row": str(link.covered["marker"])}
    words = f"{name} in {where['table']} says {now}; {written} was written."
    return finding(FindingKind.CHANGED, words, card, amount_minor=off, **where)


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


def _guesses(link: _Link, rows: CardRows, off: Off) -> Iterator[tuple[str, object]]:
    """What one field may have been; the hash tells which guess is right, if any is.

    Amounts follow from the sums that do not come out; words are of a known few.
    """
    sides = [p["side"] for p in rows.presences]
    if link.table == "intent_states":
        state = link.covered
        if state["intent_amount_minor"] is not None:
            yield (
                "intent_amount_minor",
                state["intent_amount_minor"] + off.shadows.get(state["intent_side"], 0),
            )
        yield from (("state", member.value) for member in IntentState)
        yield from (("intent_kind", member.value) for member in EffectKind)
        yield from (("intent_side", side) for side in sides)
        return
    if link.table == "identities":
        yield from (("side", side) for side in sides)
        return
    m = link.covered
    before = next(
        (o["balance_after_minor"] for o in reversed(rows.movements) if o["chain_seq"] < link.seq), 0
    )
    yield "amount_minor", m["balance_after_minor"] - before
    yield "amount_minor", m["amount_minor"] + off.balance_minor
    yield "shadow_delta_minor", m["shadow_delta_minor"] + off.shadows.get(m["side"], 0)
    yield "balance_after_minor", before + m["amount_minor"]
    yield from (("kind", member.value) for member in MovementKind)
    yield from (("side", side) for side in [*sides, None])
