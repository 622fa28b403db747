"""Events of the API: found in the ledger's own rows, each once, and kept for whoever is told of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)

from mappings.money import decimal_from_minor
from mappings.serials import mask
from sync.ledger.database.engine import asking, reading
from sync.ledger.database.marks import read_mark, write_mark
from sync.ledger.database.news import TELL_RECEIVERS, tell
from sync.ledger.database.tables import (
    api_events,
    api_tellings,
    api_webhooks,
    card_changes,
    cards,
    conflicts,
    marks,
    movements,
    presences,
    redemptions,
)
from sync.ledger.database.upsert import upsert
from sync.ledger.secrets.vault import Vault

#: Up to which row of movements, conflicts and changes of cards was looked, and when.
_Seen = tuple[int, int, int, datetime]
#: Kind, row, moment and data of one event.
_News = tuple[str, str, datetime, Mapping[str, Any]]

KINDS = ("card.changed", "redemption.made", "conflict.opened")
#: Rows are looked at again for so long: transactions may end in another order than they took their ids.
OVERLAP_ROWS = 200
OVERLAP = timedelta(minutes=2)
BATCH = 500
#: How long an event can be told again.
KEPT = timedelta(days=30)
URL_PURPOSE, SECRET_PURPOSE = "api webhook url", "api webhook secret"
_CURSOR = "api events"


@dataclass(frozen=True)
class Webhook:
    """A receiver of events."""

    id: str
    url: str
    secret: str
    events: tuple[str, ...]
    created_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Telling:
    """One event that one receiver has to be told of."""

    webhook: Webhook
    event_id: str
    body: Mapping[str, Any]
    attempts: int
    due_at: datetime


@dataclass(frozen=True)
class _Found:
    """Something that happened, and the ids of the receivers that want to be told of it."""

    kind: str
    at: datetime
    data: Mapping[str, Any]
    wanted: Sequence[str]


@dataclass(frozen=True)
class Events:
    """Each method is one transaction."""

    engine: Engine
    vault: Vault

    # --- receivers ------------------------------------------------------------------------------------------

    def add(self, webhook: Webhook) -> None:
        """Have a receiver told of what happens from now on."""
        with self.engine.begin() as connection:
            if connection.execute(select(marks.c.value).where(marks.c.name == _CURSOR)).first() is None:
                # Else what happens until somebody looks for events would be passed over.
                since = webhook.created_at
                write_mark(connection, _CURSOR, _words(_end(connection, since)), since)
            tell(connection, TELL_RECEIVERS)
            connection.execute(
                insert(api_webhooks).values(
                    id=webhook.id,
                    url_sealed=self.vault.seal_secret(webhook.url, URL_PURPOSE),
                    secret_sealed=self.vault.seal_secret(webhook.secret, SECRET_PURPOSE),
                    events=list(webhook.events),
                    created_at=webhook.created_at,
                )
            )

    def webhooks(self) -> list[Webhook]:
        """Every receiver, ended ones too."""
        with asking(self.engine) as connection:
            return [
                self._webhook(r)
                for r in connection.execute(select(api_webhooks).order_by(api_webhooks.c.created_at))
            ]

    def end(self, webhook_id: str, now: datetime) -> bool:
        """Tell a receiver nothing more; whether it was told until now."""
        with self.engine.begin() as connection:
            ended = connection.execute(
                update(api_webhooks)
                .where(api_webhooks.c.id == webhook_id, api_webhooks.c.ended_at.is_(None))
                .values(ended_at=now)
            ).rowcount
            connection.execute(
                update(api_tellings).where(api_tellings.c.webhook_id == webhook_id).values(due_at=None)
            )
        return bool(ended)

    def _webhook(self, row: Row[Any]) -> Webhook:
        return Webhook(
            row.id,
            self.vault.open_secret(row.url_sealed, URL_PURPOSE),
            self.vault.open_secret(row.secret_sealed, SECRET_PURPOSE),
            tuple(row.events),
            row.created_at,
            row.ended_at,
        )

    # --- finding --------------------------------------------------------------------------------------------

    def collect(self, now: datetime) -> int | None:
        """Keep what has happened since the last time, for every receiver that wants it; how much is new.

        None: there is no receiver.
        """
        receivers = [w for w in self.webhooks() if w.ended_at is None]
        if not receivers:
            return None
        before = _read_cursor(read_mark(self.engine, _CURSOR))
        with reading(self.engine) as connection:
            after = _end(connection, now)
            found = self._unknown(connection, before or after, receivers)
        if before is not None and not found and now - before[-1] < OVERLAP / 2:
            return 0
        with self.engine.begin() as connection:
            new = sum(self._keep(connection, event_id, event, now) for event_id, event in found.items())
            write_mark(connection, _CURSOR, _words(after), now)
        return new

    def _unknown(
        self, connection: Connection, since: _Seen, receivers: Sequence[Webhook]
    ) -> dict[str, _Found]:
        """What is to be told of and was not kept yet, by the ids of the events."""
        found: dict[str, _Found] = {}
        for kind, row, at, data in self._found(connection, since):
            wanted = [w.id for w in receivers if (not w.events or kind in w.events) and at >= w.created_at]
            if wanted:
                event_id = "evt_" + self.vault.outer_id(f"{kind} {row}", "api event")[:24]
                found[event_id] = _Found(kind, at, data, wanted)
        ids = list(found)
        for start in range(0, len(ids), BATCH):
            query = select(api_events.c.id).where(api_events.c.id.in_(ids[start : start + BATCH]))
            for known in connection.execute(query).scalars():
                del found[known]
        return found

    def _found(self, connection: Connection, since: _Seen) -> Iterator[_News]:
        """Everything since the cursor, and of a little before it."""
        last_movement, last_conflict, last_change, moment = since
        yield from self._moved(connection, movements.c.id > last_movement - OVERLAP_ROWS)
        changed = select(card_changes, cards.c.currency).join(cards, cards.c.id == card_changes.c.card_id)
        for change in connection.execute(changed.where(card_changes.c.id > last_change - OVERLAP_ROWS)):
            yield "card.changed", f"change {change.id}", change.at, self._change(connection, change)
        yield from self._redeemed(connection, redemptions.c.changed_at > moment - OVERLAP)
        yield from self._opened(connection, conflicts.c.id > last_conflict - OVERLAP_ROWS)

    def _moved(self, connection: Connection, since: ColumnElement[bool]) -> Iterator[_News]:
        moved = select(movements, cards.c.currency).join(cards, cards.c.id == movements.c.card_id)
        for m in connection.execute(moved.where(since, movements.c.amount_minor != 0)):
            yield (
                "card.changed",
                str(m.id),
                m.at,
                {
                    **self._card(connection, m.card_id),
                    "change": m.kind,
                    "amount": decimal_from_minor(m.amount_minor, m.currency),
                    "balance": decimal_from_minor(m.balance_after_minor, m.currency),
                    "currency": m.currency,
                },
            )

    def _redeemed(self, connection: Connection, since: ColumnElement[bool]) -> Iterator[_News]:
        made = select(redemptions, cards.c.currency).join(cards, cards.c.id == redemptions.c.card_id)
        certain = redemptions.c.state.in_(("completed", "authorized"))
        for r in connection.execute(made.where(since, certain)):
            yield (
                "redemption.made",
                r.id,
                r.changed_at,
                {
                    **self._card(connection, r.card_id),
                    "redemption": r.id,
                    "kind": r.kind,
                    "confirmed": r.confirmed,
                    "amount": decimal_from_minor(r.asked_minor, r.currency),
                    "currency": r.currency,
                    "location": r.location,
                    "reference": r.reference,
                },
            )

    def _opened(self, connection: Connection, since: ColumnElement[bool]) -> Iterator[_News]:
        for c in connection.execute(select(conflicts).where(since)):
            yield (
                "conflict.opened",
                str(c.id),
                c.opened_at,
                {
                    **({} if c.card_id is None else self._card(connection, c.card_id)),
                    "conflict": c.id,
                    "kind": c.kind,
                    "summary": c.summary,
                    "amount": None if c.currency is None else decimal_from_minor(c.amount_minor, c.currency),
                    "currency": c.currency,
                },
            )

    def _change(self, connection: Connection, row: Row[Any]) -> dict[str, Any]:
        return {
            **self._card(connection, row.card_id),
            "change": "status" if row.status != row.status_before else "expiry",
            "status": row.status,
            "status_before": row.status_before,
            "expires_on": _day(row.expires_on),
            "expires_before": _day(row.expires_before),
            "balance": decimal_from_minor(row.balance_minor, row.currency),
            "currency": row.currency,
        }

    def _card(self, connection: Connection, card_id: int) -> dict[str, Any]:
        query = select(presences.c.last_chars).where(
            presences.c.card_id == card_id, presences.c.last_chars != ""
        )
        last = connection.execute(query.limit(1)).scalar()
        return {"card": self.vault.card_ref(card_id), "last_four": mask(last or "")}

    def _keep(self, connection: Connection, event_id: str, found: _Found, now: datetime) -> int:
        body = {"type": found.kind, "timestamp": found.at.isoformat(), "data": dict(found.data)}
        values = {"id": event_id, "kind": found.kind, "body": body, "at": found.at}
        if not connection.execute(upsert(connection, api_events, values).on_conflict_do_nothing()).rowcount:
            return 0
        for webhook_id in found.wanted:
            connection.execute(
                insert(api_tellings).values(webhook_id=webhook_id, event_id=event_id, due_at=now)
            )
        return 1

    # --- telling --------------------------------------------------------------------------------------------

    def due(self, now: datetime, limit: int = BATCH) -> list[Telling]:
        """What is to be told now: each receiver's first, then each one's second, so that none waits for
        another's many. Of each, what was tried least comes first, and of that the oldest.
        """
        order = (api_tellings.c.attempts, api_tellings.c.due_at, api_events.c.at)
        place = func.row_number().over(partition_by=api_tellings.c.webhook_id, order_by=order)
        query = (
            select(api_tellings, api_events.c.body, api_webhooks)
            .join(api_events, api_events.c.id == api_tellings.c.event_id)
            .join(api_webhooks, api_webhooks.c.id == api_tellings.c.webhook_id)
            .where(api_tellings.c.due_at <= now)
            .order_by(place, api_tellings.c.webhook_id)
            .limit(limit)
        )
        with asking(self.engine) as connection:
            return [
                Telling(self._webhook(r), r.event_id, r.body, r.attempts, r.due_at)
                for r in connection.execute(query)
            ]

    def claim(self, telling: Telling, until: datetime) -> bool:
        """Take a telling that `due` gave, so that no other process tells it before `until`; whether it was
        still to be told.
        """
        with self.engine.begin() as connection:
            mine = (
                update(api_tellings)
                .where(
                    api_tellings.c.webhook_id == telling.webhook.id,
                    api_tellings.c.event_id == telling.event_id,
                    api_tellings.c.due_at == telling.due_at,
                )
                .values(due_at=until)
            )
            return bool(connection.execute(mine).rowcount)

    def told(self, telling: Telling, outcome: str, due_at: datetime | None, now: datetime | None) -> None:
        """What came of an attempt: told at `now`, or due again, or given up."""
        with self.engine.begin() as connection:
            connection.execute(
                update(api_tellings)
                .where(
                    api_tellings.c.webhook_id == telling.webhook.id,
                    api_tellings.c.event_id == telling.event_id,
                )
                .values(due_at=due_at, attempts=telling.attempts + 1, outcome=outcome, told_at=now)
            )

    def replay(self, webhook_id: str, since: datetime, now: datetime) -> int:
        """Have a receiver told again of everything since a moment; how much that is."""
        happened = select(api_events.c.id).where(api_events.c.at >= since)
        with self.engine.begin() as connection:
            tell(connection, TELL_RECEIVERS)
            return connection.execute(
                update(api_tellings)
                .where(and_(api_tellings.c.webhook_id == webhook_id, api_tellings.c.event_id.in_(happened)))
                .values(due_at=now, attempts=0)
            ).rowcount

    def forget_old(self, now: datetime) -> None:
        """Drop what cannot be told again."""
        old = select(api_events.c.id).where(api_events.c.at < now - KEPT)
        with self.engine.begin() as connection:
            connection.execute(delete(api_tellings).where(api_tellings.c.event_id.in_(old)))
            connection.execute(delete(api_events).where(api_events.c.at < now - KEPT))
            # Drafts of the books look up which last day a card had at any moment.
            c = card_changes.c
            same_day = c.expires_before.is_not_distinct_from(c.expires_on)
            connection.execute(delete(card_changes).where(c.at < now - KEPT, same_day))


def _end(connection: Connection, now: datetime) -> _Seen:
    """A cursor behind everything that has happened."""
    return (
        _newest(connection, movements),
        _newest(connection, conflicts),
        _newest(connection, card_changes),
        now,
    )


def _words(cursor: _Seen) -> str:
    return " ".join([*map(str, cursor[:-1]), cursor[-1].isoformat()])


def _newest(connection: Connection, table: Table) -> int:
    newest: int = connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one()
    return newest


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _read_cursor(text: str | None) -> _Seen | None:
    """Where finding has come to; None before the first time, and where that cannot be read: it begins now."""
    try:
        movement, conflict, change, moment = (text or "").split()
        at = datetime.fromisoformat(moment)
        return None if at.tzinfo is None else (int(movement), int(conflict), int(change), at)
    except ValueError:
        return None


def unknown_kinds(kinds: Collection[str]) -> list[str]:
    """Of the kinds that were named, those that there are not."""
    return sorted(set(kinds) - set(KINDS))
