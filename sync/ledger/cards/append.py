"""What a commit adds: movements, intents and their states, each chained to the row before it; conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from connectors.api.side import EffectKind
from sync.ledger.cards import chain, statements
from sync.ledger.cards.creates import next_marker
from sync.ledger.cards.rows import planned_intent, value_of
from sync.ledger.database.tables import conflicts, intent_states, movements
from sync.ledger.secrets.vault import Vault
from sync.model import (
    Card,
    Decision,
    Intent,
    IntentChange,
    IntentState,
    NewConflict,
    NewIntent,
    NewResolution,
)

#: Why an intent is applied that this ledger never sent.
READ_BACK = "made by a newer ledger, read back from the side:"


class Appender:
    """Adds rows to the append-only tables of one card, each chained to the one before it."""

    def __init__(
        self,
        connection: Connection,
        vault: Vault,
        card_id: int,
        fencing: int,
        now: datetime,
        run_id: int | None,
        chain_seq: int,
        chain_head: str,
    ) -> None:
        self._connection, self._vault = connection, vault
        self._card_id, self._fencing, self._now, self._run_id = card_id, fencing, now, run_id
        self._start = self._seq = chain_seq
        self._head = chain_head

    def movements(self, decision: Decision) -> None:
        for m in decision.movements:
            self._append(
                movements,
                chain.MOVEMENT_FIELDS,
                {
                    "side": m.side,
                    "kind": m.kind.value,
                    "amount_minor": m.amount_minor,
                    "shadow_delta_minor": m.shadow_delta_minor,
                    "balance_after_minor": m.balance_after_minor,
                    "evidence": dict(m.evidence),
                    "run_id": self._run_id,
                },
            )

    def intents(
        self, planned: Sequence[NewIntent], new_marker: Callable[[], str], card: Card
    ) -> list[Intent]:
        made: list[Intent] = []
        if not planned:
            return made
        sequence = self._connection.execute(statements.LAST_SEQUENCE, {"card": self._card_id}).scalar_one()
        for i in planned:
            sequence += 1
            if i.lost is not None:
                marker = i.lost.marker
            elif i.kind is EffectKind.CREATE:
                marker = next_marker(self._connection, card.presences, i.side, self._vault, new_marker)
            else:
                marker = new_marker()
            self._connection.execute(
                statements.INSERT_INTENT,
                {
                    "marker": marker,
                    "card_id": self._card_id,
                    "side": i.side,
                    "sequence": sequence,
                    "kind": i.kind.value,
                    "amount_minor": i.amount_minor,
                    "status": value_of(i.status),
                    "expires_on": i.expires_on,
                    "status_before": value_of(i.status_before),
                    "expires_before": i.expires_before,
                    "note": i.note,
                    "brand": i.brand,
                    "state": IntentState.PLANNED.value,
                    "progress": {},
                    "created_at": self._now,
                },
            )
            self._append_state(marker, IntentState.PLANNED, "", i.side, i.kind.value, i.amount_minor)
            made.append(planned_intent(i, marker, sequence))
            if i.lost is not None:
                self.intent_change(
                    IntentChange(marker, IntentState.APPLIED, f"{READ_BACK} {i.lost.reference}", landings=1)
                )
        return made

    def intent_change(self, change: IntentChange) -> None:
        row = self._connection.execute(
            statements.UPDATE_INTENT,
            {
                "intent_marker": change.marker,
                "card": self._card_id,
                "state": change.state.value,
                "not_before": change.not_before,
                "look_at": change.look_at,
                "refusal": value_of(change.refusal),
                "new_doubted": change.doubted,
                "new_landings": change.landings,
                "new_unclear_reads": change.unclear_reads,
                "ended_at": None if change.state.is_open else self._now,
            },
        ).one()
        self._append_state(change.marker, change.state, change.reason, row.side, row.kind, row.amount_minor)

    def _append_state(
        self, marker: str, state: IntentState, reason: str, side: str, kind: str, amount_minor: int
    ) -> None:
        self._append(
            intent_states,
            chain.STATE_FIELDS,
            {"marker": marker, "state": state.value, "reason": reason, "fencing": self._fencing},
            {"intent_side": side, "intent_kind": kind, "intent_amount_minor": amount_minor},
        )

    def _append(
        self,
        table: Any,
        fields: tuple[str, ...],
        values: dict[str, Any],
        covered: Mapping[str, object] | None = None,
    ) -> None:
        self._seq += 1
        row = {**values, "card_id": self._card_id, "chain_seq": self._seq, "at": self._now}
        chain_hash = self._vault.chain(self._head, chain.canonical({**row, **(covered or {})}, fields))
        self._head = self._vault.head(chain_hash)
        self._connection.execute(statements.INSERT[table], {**row, "chain_hash": chain_hash})

    def close(self) -> None:
        if self._seq != self._start:
            self._connection.execute(
                statements.UPDATE_CHAIN,
                {"card": self._card_id, "chain_seq": self._seq, "chain_head": self._head},
            )


def write_conflicts(
    connection: Connection,
    card_id: int,
    card: Card,
    decision: Decision,
    now: datetime,
    made: Sequence[Intent] = (),
) -> None:
    """`made` are the intents that the decision planned."""
    if decision.resolution is not None:
        said = decision.resolution
        connection.execute(
            statements.REPLACE_RESOLUTION if said.replaces else statements.RESOLVE_CONFLICT,
            {
                "conflict": said.conflict_id,
                "closed_at": now,
                "how": said.action,
                "who": said.by,
                "why": said.why,
                "decided": {**said.decided, "markers": [intent.marker for intent in made]},
            },
        )
    raised = {c.cause: c for c in decision.conflicts}
    for cause in set(decision.causes_gone) - set(raised):
        connection.execute(statements.CLOSE_CONFLICT, {"card": card_id, "which": cause, "closed_at": now})
        connection.execute(statements.END_IGNORING, {"card": card_id, "which": cause})
    for c in raised.values():
        words = {
            "summary": c.summary,
            "amount_minor": c.amount_minor,
            "proposal": c.proposal,
            "evidence": dict(c.evidence),
            "last_seen_at": now,
        }
        if c.settled is not None:
            person = decision.resolution if c.settled_by_person else None
            _log_settled(connection, card_id, card, c, person, now)
            continue
        seen_before = connection.execute(
            statements.SEE_CONFLICT, {"card": card_id, "which": c.cause, **words}
        ).rowcount
        if not seen_before:
            connection.execute(statements.END_IGNORING, {"card": card_id, "which": c.cause})
            connection.execute(
                statements.INSERT[conflicts],
                {
                    "card_id": card_id,
                    "side": c.side,
                    "kind": c.kind.value,
                    "cause": c.cause,
                    "currency": card.currency,
                    "opened_at": now,
                    "seen": 1,
                    **words,
                },
            )


def _log_settled(
    connection: Connection,
    card_id: int,
    card: Card,
    conflict: NewConflict,
    person: NewResolution | None,
    now: datetime,
) -> None:
    """What is settled already stands in the log like everything else; nobody has to act."""
    connection.execute(
        statements.INSERT[conflicts],
        {
            "card_id": card_id,
            "side": conflict.side,
            "kind": conflict.kind.value,
            "cause": conflict.cause,
            "currency": card.currency,
            "summary": conflict.summary,
            "amount_minor": conflict.amount_minor,
            "proposal": "",
            "evidence": dict(conflict.evidence),
            "opened_at": now,
            "last_seen_at": now,
            "seen": 1,
            "closed_at": now,
            "resolution": conflict.settled,
            "resolved_by": "settings" if person is None else person.by,
            "resolved_why": None if person is None else person.why,
        },
    )
