"""Rows as values and values as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from sqlalchemy.engine import RowMapping

from connectors.api.errors import Refusal
from connectors.api.side import EffectKind
from mappings.lifecycle import CardStatus
from sync.model import Card, Decision, Intent, IntentChange, IntentState, NewIntent, Presence


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
        "brand": p.brand,
        "note": p.note,
    }


def value_of(member: StrEnum | None) -> str | None:
    return None if member is None else member.value


def intent_of(row: RowMapping) -> Intent:
    return Intent(
        marker=row["marker"],
        kind=EffectKind(row["kind"]),
        state=IntentState(row["state"]),
        sequence=row["sequence"],
        amount_minor=row["amount_minor"],
        status=None if row["status"] is None else CardStatus(row["status"]),
        expires_on=row["expires_on"],
        status_before=None if row["status_before"] is None else CardStatus(row["status_before"]),
        expires_before=row["expires_before"],
        note=row["note"],
        brand=row["brand"],
        progress=row["progress"],
        doubted=row["doubted"],
        landings=row["landings"],
        not_before=row["not_before"],
        look_at=row["look_at"],
        refusal=None if row["refusal"] is None else Refusal(row["refusal"]),
        unclear_reads=row["unclear_reads"],
    )


def planned_intent(i: NewIntent, marker: str, sequence: int) -> Intent:
    return Intent(
        marker=marker,
        kind=i.kind,
        state=IntentState.PLANNED,
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
    new_of = {
        side: [m for m, i in zip(made, decision.intents, strict=True) if i.side == side and i.lost is None]
        for side in {i.side for i in decision.intents}
    }
    presences_after = tuple(
        replace(
            p,
            open_intents=(
                *(changed_intent(i, changes[i.marker]) if i.marker in changes else i for i in p.open_intents),
                *new_of.get(p.side, ()),
            ),
        )
        for p in decision.card.presences
    )
    causes = {c: amount for c, amount in decision.card.causes.items() if c not in decision.causes_gone}
    causes |= {c.cause: c.amount_minor for c in decision.conflicts if c.settled is None}
    return replace(decision.card, presences=presences_after, causes=causes, version=version)


def changed_intent(intent: Intent, change: IntentChange) -> Intent:
    return replace(
        intent,
        state=change.state,
        not_before=change.not_before,
        look_at=change.look_at,
        refusal=change.refusal,
        doubted=intent.doubted if change.doubted is None else change.doubted,
        landings=intent.landings if change.landings is None else change.landings,
        unclear_reads=intent.unclear_reads if change.unclear_reads is None else change.unclear_reads,
    )
