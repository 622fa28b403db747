"""What a commit adds: movements, intents and their states, each chained to the row before it; conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from connectors.api.effect import EffectKind
from sync.ledger.cards import chain, statements
from sync.ledger.cards.decided import with_proof
from sync.ledger.cards.rows import planned_intent, value_of
from sync.ledger.database import prepared
from sync.ledger.database.tables import conflicts, identities, intent_states, movements
from sync.ledger.secrets.creates import next_marker
from sync.ledger.secrets.vault import Vault
from sync.model import (
    Card,
    Decision,
    Intent,
    IntentChange,
    IntentState,
    InvariantBroken,
    NewConflict,
    NewIntent,
    NewResolution,
    Presence,
)

#: Why an intent is applied that this ledger never sent.
READ_BACK = "made by a newer ledger, read back from the side:"


class Appender:
    """Adds rows to the append-only tables of one card, each chained to the one before it.

    Rows are chained and kept first. `write` adds them, so that the card's own row, which says where the chain
    ends, is written before them: whoever has lost the card stops there.
    """

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
        known: Sequence[Intent] = (),
    ) -> None:
        """`known` are open intents as they were proved when the card was loaded."""
        self._connection, self._vault = connection, vault
        self._card_id, self._fencing, self._now, self._run_id = card_id, fencing, now, run_id
        self._known = {i.marker: (i.side, i.kind.value, i.amount_minor) for i in known}
        self._rows: list[tuple[Any, Mapping[str, object]]] = []
        self.seq = chain_seq
        self.head = chain_head

    def write(self) -> None:
        """Add what was kept, in its order. Raises InvariantBroken when an intent is gone."""
        for statement, row in self._rows:
            changed = prepared.change(self._connection, statement, row)
            if statement is statements.UPDATE_INTENT and changed != 1:
                raise InvariantBroken(f"intent {row['intent_marker']} is gone from the ledger")
        self._rows.clear()

    def identity(self, p: Presence) -> None:
        """Which card the presence is on its side from now on."""
        self._append(
            identities,
            chain.IDENTITY_FIELDS,
            {
                "side": p.side,
                "native_id": p.native_id,
                "serial_index": None if p.serial is None else self._vault.index(p.serial),
                "last_chars": p.last_chars,
                "born": p.born,
            },
        )

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
        (last,) = prepared.rows(self._connection, statements.LAST_SEQUENCE, {"card": self._card_id})
        sequence: int = last["sequence"]
        for i in planned:
            sequence += 1
            if i.lost is not None:
                marker = i.lost.marker
            elif i.kind is EffectKind.CREATE:
                marker = next_marker(self._connection, card.presences, i.side, self._vault, new_marker)
            else:
                marker = new_marker()
            values = {
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
                "note": self._vault.seal_words(i.note),
                "brand": i.brand,
                "state": (IntentState.SENT if i.sends else IntentState.PLANNED).value,
                "progress": {},
                "created_at": self._now,
            }
            self._rows.append((statements.INSERT_INTENT, values))
            self._known[marker] = (i.side, i.kind.value, i.amount_minor)
            self._append_state(marker, IntentState.PLANNED, "", i.side, i.kind.value, i.amount_minor)
            if i.sends:
                self._append_state(marker, IntentState.SENT, "", i.side, i.kind.value, i.amount_minor)
            made.append(planned_intent(i, marker, sequence))
            if i.lost is not None:
                self.intent_change(
                    IntentChange(marker, IntentState.APPLIED, f"{READ_BACK} {i.lost.reference}", landings=1)
                )
        return made

    def intent_change(self, change: IntentChange) -> None:
        values = {
            "intent_marker": change.marker,
            "card": self._card_id,
            "state": change.state.value,
            "not_before": change.not_before,
            "look_at": change.look_at,
            "refusal": value_of(change.refusal),
            "new_doubted": change.doubted,
            "new_landings": change.landings,
            "new_unclear_reads": change.unclear_reads,
            "new_postponed": change.postponed,
            "ended_at": None if change.state.is_open else self._now,
        }
        self._rows.append((statements.UPDATE_INTENT, values))
        side, kind, amount_minor = self._known.get(change.marker) or self._ended(change.marker)
        self._append_state(change.marker, change.state, change.reason, side, kind, amount_minor)

    def _ended(self, marker: str) -> tuple[str, str, int]:
        """The side, kind and amount of an intent that was over when the card was loaded."""
        which = {"card": self._card_id, "of_marker": marker}
        side, kind, amount_minor = self._connection.execute(statements.SELECT_INTENT, which).one()
        return side, kind, amount_minor

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
        self.seq += 1
        row = {**values, "card_id": self._card_id, "chain_seq": self.seq, "at": self._now}
        chain_hash = self._vault.chain(self.head, chain.canonical({**row, **(covered or {})}, fields))
        self.head = self._vault.head(chain_hash)
        self._rows.append((statements.INSERT[table], {**row, "chain_hash": chain_hash}))

    def close(self, digest: str) -> None:
        """Add what was kept, and say on the card's row where its chain ends."""
        self.write()
        prepared.change(
            self._connection,
            statements.UPDATE_CHAIN,
            {"card": self._card_id, "chain_seq": self.seq, "chain_head": self.head, "digest": digest},
        )


def write_conflicts(
    connection: Connection,
    card_id: int,
    currency: str,
    decision: Decision,
    now: datetime,
    vault: Vault,
    made: Sequence[Intent] = (),
) -> None:
    """`made` are the intents that the decision planned."""
    if decision.resolution is not None:
        write_resolution(connection, decision.resolution, now, card_id, vault, made)
    raised = {c.cause: c for c in decision.conflicts}
    for cause in set(decision.causes_gone) - set(raised):
        of = {"card": card_id, "which": cause}
        prepared.change(connection, statements.CLOSE_CONFLICT, {**of, "closed_at": now})
        prepared.change(connection, statements.END_IGNORING, of)
    person = decision.resolution
    for c in raised.values():
        raise_conflict(connection, card_id, currency, c, person if c.settled_by_person else None, now)


def open_conflict(engine: Engine, card_id: int, currency: str, c: NewConflict, now: datetime) -> None:
    """Open a conflict of a card that nobody has a lease on; two that see it at once open one."""
    with suppress(IntegrityError), engine.begin() as connection:
        raise_conflict(connection, card_id, currency, c, None, now)


def close_conflict(engine: Engine, card_id: int, cause: str, now: datetime) -> None:
    """The cause is gone; if it comes again, it is told of again, even where a person had ignored it."""
    with engine.begin() as connection:
        of = {"card": card_id, "which": cause}
        prepared.change(connection, statements.CLOSE_CONFLICT, {**of, "closed_at": now})
        prepared.change(connection, statements.END_IGNORING, of)


def write_resolution(
    connection: Connection,
    said: NewResolution,
    now: datetime,
    card_id: int,
    vault: Vault,
    made: Sequence[Intent] = (),
) -> None:
    """Close a conflict with what a person said; `made` are the intents that follow from it."""
    decided = {**said.decided, "markers": [intent.marker for intent in made]}
    connection.execute(
        statements.REPLACE_RESOLUTION if said.replaces else statements.RESOLVE_CONFLICT,
        {
            "conflict": said.conflict_id,
            "closed_at": now,
            "how": said.action,
            "who": said.by,
            "why": said.why,
            "decided": with_proof(said.conflict_id, card_id, decided, vault),
        },
    )


def raise_conflict(
    connection: Connection,
    card_id: int,
    currency: str,
    c: NewConflict,
    person: NewResolution | None,
    now: datetime,
) -> None:
    """Open the conflict, or count that it was seen again; one that is settled already is logged."""
    words = {
        "summary": c.summary,
        "amount_minor": c.amount_minor,
        "proposal": c.proposal,
        "evidence": dict(c.evidence),
        "last_seen_at": now,
    }
    if c.settled is not None:
        _log_settled(connection, card_id, currency, c, person, now)
        return
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
                "currency": currency,
                "opened_at": now,
                "seen": 1,
                **words,
            },
        )


def _log_settled(
    connection: Connection,
    card_id: int,
    currency: str,
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
            "currency": currency,
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
