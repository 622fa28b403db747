"""Rows as values and values as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from sync.ledger.secrets.vault import Vault
from sync.model import (
    Card,
    ChainEnd,
    Decision,
    Hold,
    Intent,
    IntentChange,
    IntentState,
    IntentSums,
    NewIntent,
    Presence,
    Redemption,
    RedemptionState,
    Unconfirmed,
    altered,
)

#: By column name.
Row = Mapping[Any, Any]


def card_of(
    row: Row,
    presence_rows: Iterable[Row],
    open_intent_rows: Iterable[Row],
    told: Sequence[Row],
    taken: Iterable[Row],
    asked: IntentSums,
    vault: Vault,
) -> Card:
    """The card that the rows hold; `told` are its open and ignored conflicts, `taken` its open redemptions.

    Raises ValueError, TypeError or VaultError for what cannot be read.
    """
    by_side: dict[str, list[Intent]] = {}
    for intent_row in open_intent_rows:
        by_side.setdefault(intent_row["side"], []).append(intent_of(intent_row, vault))
    return Card(
        currency=row["currency"],
        balance_minor=row["balance_minor"],
        status=CardStatus(row["status"]),
        expires_on=row["expires_on"],
        presences=tuple(_presence_of(p, tuple(by_side.get(p["side"], ())), vault) for p in presence_rows),
        held=row["held"],
        behind=row["behind"],
        causes={c["cause"]: c["amount_minor"] for c in told},
        ignored=frozenset(c["cause"] for c in told if c["closed_at"] is not None),
        redemptions=tuple(map(redemption_of, taken)),
        version=row["version"],
        id=row["id"],
        chain=ChainEnd(row["chain_seq"], row["chain_head"], row["digest"], row["chain_lost"], asked),
    )


def sums_of(intent_rows: Iterable[Row], redemption_rows: Iterable[Row]) -> IntentSums:
    """What these intents and redemptions come to."""
    taken = [row["amount_minor"] for row in redemption_rows]
    found = [(row["amount_minor"], row["landings"], bool(row["doubted"])) for row in intent_rows]
    return IntentSums(
        len(found),
        sum(amount for amount, _, _ in found),
        sum(landings for _, landings, _ in found),
        sum(amount * landings for amount, landings, _ in found),
        sum(doubted for *_, doubted in found),
        len(taken),
        sum(taken),
    )


def redemption_of(row: Row) -> Redemption:
    """An open redemption."""
    return Redemption(
        id=row["id"],
        amount_minor=row["amount_minor"],
        state=RedemptionState(row["state"]),
        ends_at=row["ends_at"],
        capture_until=row["capture_until"],
        unconfirmed=Unconfirmed(row["unconfirmed"]),
    )


def _presence_of(row: Row, open_intents: tuple[Intent, ...], vault: Vault) -> Presence:
    sealed = row["serial_sealed"]
    serial = None if sealed is None else vault.open(sealed)
    if row["serial_index"] != (None if serial is None else vault.index(serial)):
        raise ValueError("a serial is not the one that it is looked up by")
    return Presence(
        side=row["side"],
        native_id=row["native_id"],
        serial=serial,
        last_chars=row["last_chars"],
        shadow_minor=row["shadow_minor"],
        shadow_status=CardStatus(row["shadow_status"]),
        shadow_expires_on=row["shadow_expires_on"],
        born=row["born"],
        stale=row["stale"],
        hold=None if row["hold"] is None else Hold(row["hold"]),
        refusal=None if row["refusal"] is None else Refusal(row["refusal"]),
        refusals=row["refusals"],
        unreadable=row["unreadable"],
        open_intents=open_intents,
        book_cursor=row["book_cursor"],
        book_digest=row["book_digest"],
        brand=row["brand"],
        note=vault.open_words(row["note"]),
        needs_cvc=row["needs_cvc"],
        contact=vault.open_contact(row["contact_sealed"]),
        id=row["id"],
    )


def presence_columns(p: Presence) -> dict[str, object]:
    """The columns of a presence that its work changes."""
    return {
        "native_id": p.native_id,
        "last_chars": p.last_chars,
        "shadow_minor": p.shadow_minor,
        "shadow_status": p.shadow_status.value,
        "shadow_expires_on": p.shadow_expires_on,
        "born": p.born,
        "stale": p.stale,
        "hold": value_of(p.hold),
        "refusal": value_of(p.refusal),
        "refusals": p.refusals,
        "unreadable": p.unreadable,
        "book_cursor": p.book_cursor,
        "book_digest": p.book_digest,
        "brand": p.brand,
        "note": p.note,
        "needs_cvc": p.needs_cvc,
    }


def value_of(member: StrEnum | None) -> str | None:
    return None if member is None else member.value


def intent_of(row: Row, vault: Vault) -> Intent:
    return Intent(
        marker=row["marker"],
        side=row["side"],
        kind=EffectKind(row["kind"]),
        state=IntentState(row["state"]),
        sequence=row["sequence"],
        amount_minor=row["amount_minor"],
        status=None if row["status"] is None else CardStatus(row["status"]),
        expires_on=row["expires_on"],
        status_before=None if row["status_before"] is None else CardStatus(row["status_before"]),
        expires_before=row["expires_before"],
        note=vault.open_words(row["note"]),
        brand=row["brand"],
        progress=row["progress"],
        doubted=row["doubted"],
        landings=row["landings"],
        not_before=row["not_before"],
        look_at=row["look_at"],
        refusal=None if row["refusal"] is None else Refusal(row["refusal"]),
        unclear_reads=row["unclear_reads"],
        postponed=row["postponed"],
    )


def planned_intent(i: NewIntent, marker: str, sequence: int) -> Intent:
    return Intent(
        marker=marker,
        side=i.side,
        kind=i.kind,
        state=IntentState.SENT if i.sends else IntentState.PLANNED,
        sequence=sequence,
        amount_minor=i.amount_minor,
        status=i.status,
        expires_on=i.expires_on,
        status_before=i.status_before,
        expires_before=i.expires_before,
        note=i.note,
        brand=i.brand,
    )


def card_after(decision: Decision, made: Sequence[Intent], version: int) -> Card:
    """The card as the commit left it, without reading it again."""
    changes = {change.marker: change for change in decision.intent_changes}
    new = [m for m, i in zip(made, decision.intents, strict=True) if i.lost is None]
    presences_after = tuple(
        altered(
            p,
            open_intents=(
                *(changed_intent(i, changes[i.marker]) if i.marker in changes else i for i in p.open_intents),
                *(i for i in new if i.side == p.side),
            ),
        )
        for p in decision.card.presences
    )
    causes = {c: amount for c, amount in decision.card.causes.items() if c not in decision.causes_gone}
    causes |= {c.cause: c.amount_minor for c in decision.conflicts if c.settled is None}
    return altered(decision.card, presences=presences_after, causes=causes, version=version)


def changed_intent(intent: Intent, change: IntentChange) -> Intent:
    return altered(
        intent,
        state=change.state,
        not_before=change.not_before,
        look_at=change.look_at,
        refusal=change.refusal,
        doubted=intent.doubted if change.doubted is None else change.doubted,
        landings=intent.landings if change.landings is None else change.landings,
        unclear_reads=intent.unclear_reads if change.unclear_reads is None else change.unclear_reads,
        postponed=intent.postponed if change.postponed is None else change.postponed,
    )
