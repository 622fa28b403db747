"""The queue of cards to look at on a side that is read card by card: `poll_order`, kept in the ledger.

What is lost with a crash is an estimate. Cards are made due in the same transaction in which their look is
recorded, so a difference that was seen is never forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, text, update
from sqlalchemy.engine import RowMapping

from connectors.api.card import Absent, Observation, Seen, Unreadable
from mappings.lifecycle import CardStatus
from sync.crashpoints import crashpoint
from sync.decisions.poll_order import (
    DAY,
    Candidate,
    PollBudget,
    PollHistory,
    PollPopulation,
    PollUpdate,
    ReadBy,
    choose,
    first_poll,
    forgotten,
    polled,
    unanswered,
)
from sync.decisions.redemption_rates import SOLD
from sync.ledger.database.imported import is_imported
from sync.ledger.database.tables import (
    cards,
    poll_populations,
    polls,
    presences,
    sides,
)
from sync.ledger.database.upsert import upsert
from sync.ledger.incoming.intake import write_due
from sync.ledger.secrets.vault import Vault
from sync.ledger.views import SweptPresence, select_swept, swept_presence

#: Budget that was not used is kept for so long: a late slice catches up, a stopped worker's does not burst.
SAVED_SECONDS: Final = 30.0
#: How long a slice may take before another worker may begin the next one.
TAKEN_FOR: Final = timedelta(seconds=60)
#: Presences that join in one transaction.
JOIN_MAX: Final = 1_000
#: A card met later than this after the link's first contact was sold since, unless it was imported: by then
#: the feeds have told of every older one.
FIRST_CONTACT_SECONDS: Final = DAY
#: Spreads what joins together evenly over its first interval: the golden ratio's multiples never bunch.
_SPREAD: Final = 0.6180339887498949


@dataclass(frozen=True)
class ReadRecord:
    """What a look at a presence came to, whoever looked and why."""

    presence_id: int
    at: datetime
    by: ReadBy
    #: None: the side gave no answer that can be believed.
    balance_minor: int | None
    #: It shows another balance than its shadow, and no open intent of ours can be why.
    moved: bool = False
    #: Closed on the side and in the hub: it needs no looks any more.
    closed: bool = False

    @staticmethod
    def of(
        presence_id: int,
        shadow_minor: int,
        shadow_status: CardStatus,
        observation: Observation,
        by: ReadBy,
        *,
        in_flight: bool = False,
    ) -> ReadRecord:
        """What an observation of a presence comes to; `in_flight` says that an intent is open there."""
        match observation:
            case Seen():
                return ReadRecord(
                    presence_id,
                    observation.at,
                    by,
                    observation.balance_minor,
                    moved=observation.balance_minor != shadow_minor and not in_flight,
                    closed=observation.status is shadow_status is CardStatus.CLOSED,
                )
            case Absent():
                return ReadRecord(presence_id, observation.at, by, 0)
            case Unreadable():
                return ReadRecord(presence_id, observation.at, by, None)


@dataclass(frozen=True)
class Turn:
    """A presence to look at now, and why."""

    presence: SweptPresence
    by: ReadBy


@dataclass(frozen=True)
class Polls:
    """One side's queue. Every method is one transaction."""

    engine: Engine
    vault: Vault
    side: str
    budget: PollBudget

    def take(self, now: datetime) -> list[Turn]:
        """The presences to look at now, as many as the budget has saved up; none while a worker looks."""
        with self.engine.begin() as connection:
            row, population = self._open(connection, now)
            population = self._join(connection, population, now)
            paid_until, limit = self._allowance(row["paid_until"], now)
            taken = row["taken_until"]
            turns: list[Turn] = []
            if limit and (taken is None or taken <= now):
                turns = self._turns(connection, population, now, limit)
                taken = now + TAKEN_FOR if turns else None
                self._save(connection, population, paid_until=paid_until, taken_until=taken)
            else:
                self._save(connection, population)
            crashpoint("polls.take.inside")
        crashpoint("polls.take.after")
        return turns

    def record(
        self, looks: Iterable[ReadRecord], due: Collection[int], now: datetime, *, ends_slice: bool = False
    ) -> None:
        """Keep what looks came to, and make the cards `due` that differ; `ends_slice` lets the next begin."""
        with self.engine.begin() as connection:
            _, population = self._open(connection, now)
            population = self._join(connection, population, now)
            write_due(connection, due, now, self.side)
            updates = self._take_in(connection, population, sorted(looks, key=lambda look: look.at))
            population = population.absorb(updates, now.timestamp())
            self._save(connection, population, **({"taken_until": None} if ends_slice else {}))
            crashpoint("polls.record.inside")
        crashpoint("polls.record.after")

    def _open(self, connection: Connection, now: datetime) -> tuple[RowMapping, PollPopulation]:
        """The population, locked: everything below is done by one worker at a time."""
        fresh = {"side": self.side, "population": PollPopulation().to_json(), "paid_until": now}
        connection.execute(upsert(connection, poll_populations, fresh).on_conflict_do_nothing())
        row = (
            connection.execute(
                select(poll_populations).where(poll_populations.c.side == self.side).with_for_update()
            )
            .mappings()
            .one()
        )
        return row, PollPopulation.from_json(row["population"], row["rates"])

    def _save(self, connection: Connection, population: PollPopulation, **columns: object) -> None:
        connection.execute(
            update(poll_populations)
            .where(poll_populations.c.side == self.side)
            .values(**_kept(population), **columns)
        )

    def _allowance(self, paid_until: datetime, now: datetime) -> tuple[datetime, int]:
        """How many reads the budget allows now, and up to when it is used once they are made."""
        rate = self.budget.reads_per_second
        # A slow budget saves up for its one read; a clock that was set back begins anew.
        saved = min(max((now - paid_until).total_seconds(), 0.0), max(SAVED_SECONDS, 1.0 / rate))
        limit = int(saved * rate + 1e-9)
        return now - timedelta(seconds=max(saved - limit / rate, 0.0)), limit

    def _turns(
        self, connection: Connection, population: PollPopulation, now: datetime, limit: int
    ) -> list[Turn]:
        def first(column: Any) -> list[Candidate]:
            rows = connection.execute(
                select(polls.c.presence_id, polls.c.turn, polls.c.asked_at)
                .where(polls.c.side == self.side)
                .order_by(column)
                .limit(limit)
            )
            return [Candidate(row.presence_id, row.turn, row.asked_at.timestamp()) for row in rows]

        chosen = choose(
            population, self.budget, now.timestamp(), first(polls.c.turn), first(polls.c.asked_at), limit
        )
        rows = connection.execute(
            select_swept.where(presences.c.id.in_([presence_id for presence_id, _ in chosen]))
        )
        found = {row.id: swept_presence(row, self.vault) for row in rows}
        return [Turn(found[presence_id], by) for presence_id, by in chosen]

    def _join(self, connection: Connection, population: PollPopulation, now: datetime) -> PollPopulation:
        """Presences that came to be since the last time get their place, as if looked at when met."""
        newcomers = connection.execute(
            select(
                presences.c.id,
                presences.c.shadow_minor,
                cards.c.created_at,
                is_imported().label("imported"),
                sides.c.first_seen_at,
            )
            .join(cards, cards.c.id == presences.c.card_id)
            .outerjoin(sides, sides.c.name == presences.c.side)
            # Word for word the condition of ix_presences_unwatched.
            .where(presences.c.side == self.side, text("born AND NOT watched"))
            .order_by(presences.c.id)
            .limit(JOIN_MAX)
        ).all()
        if not newcomers:
            return population
        rows, updates = [], []
        for one in newcomers:
            since_first = (one.created_at - (one.first_seen_at or one.created_at)).total_seconds()
            history, joins = first_poll(
                population,
                self.budget,
                one.created_at.timestamp(),
                balance_minor=one.shadow_minor,
                issued=since_first > FIRST_CONTACT_SECONDS and not one.imported,
                phase=1.0 if len(newcomers) == 1 else 1.0 - one.id * _SPREAD % 1.0,
            )
            rows.append({"presence_id": one.id, "side": self.side, **_columns(history, one.created_at)})
            updates.append(joins)
        connection.execute(insert(polls), rows)
        connection.execute(
            update(presences).where(presences.c.id.in_([one.id for one in newcomers])).values(watched=True)
        )
        return population.absorb(updates, now.timestamp())

    def _take_in(
        self, connection: Connection, population: PollPopulation, looks: Sequence[ReadRecord]
    ) -> list[PollUpdate]:
        ids = {look.presence_id for look in looks}
        rows = connection.execute(select(polls).where(polls.c.presence_id.in_(ids))).mappings()
        histories = {row["presence_id"]: (_history(row), row["asked_at"]) for row in rows}
        updates: list[PollUpdate] = []
        gone: set[int] = set()
        for look in looks:
            if look.presence_id in gone or look.presence_id not in histories:
                continue
            history, asked_at = histories[look.presence_id]
            if look.at < asked_at:
                continue  # A later look was recorded first, and told more.
            if look.closed:
                gone.add(look.presence_id)
                updates.append(forgotten(history))
                continue
            after, learned = _after(population, self.budget, history, look)
            histories[look.presence_id] = after, look.at
            updates.append(learned)
        if gone:
            connection.execute(delete(polls).where(polls.c.presence_id.in_(gone)))
        kept = [
            {"which": presence_id, **_columns(history, asked_at)}
            for presence_id, (history, asked_at) in histories.items()
            if presence_id not in gone
        ]
        if kept:
            connection.execute(_UPDATE, kept)
        return updates


def leave_queue(connection: Connection, presence_id: int, now: datetime) -> None:
    """Take a presence out, in a transaction of the caller's: there is nothing to look at any more."""
    row = connection.execute(select(polls).where(polls.c.presence_id == presence_id)).mappings().one_or_none()
    if row is None:
        return
    its_side = poll_populations.c.side == row["side"]
    query = select(poll_populations.c.population, poll_populations.c.rates).where(its_side).with_for_update()
    population = PollPopulation.from_json(*connection.execute(query).one())
    if connection.execute(delete(polls).where(polls.c.presence_id == presence_id)).rowcount:
        population = population.absorb([forgotten(_history(row))], now.timestamp())
        connection.execute(update(poll_populations).where(its_side).values(_kept(population)))


def _kept(population: PollPopulation) -> dict[str, object]:
    return {"population": population.to_json(), "rates": population.rates_to_json()}


def _after(
    population: PollPopulation, budget: PollBudget, history: PollHistory, look: ReadRecord
) -> tuple[PollHistory, PollUpdate]:
    if look.balance_minor is None:
        return unanswered(population, history)
    # What was seen before was counted before: a card that is due is looked at again under its lease.
    changed = look.moved and look.balance_minor != history.balance_minor
    return polled(
        population,
        budget,
        history,
        look.at.timestamp(),
        changed=changed,
        balance_minor=look.balance_minor,
        by=look.by,
    )


def _history(row: Mapping[Any, Any]) -> PollHistory:
    values = {name: row[name] for name in PollHistory._fields}
    moments = {name: row[name].timestamp() for name in ("changed_at", "polled_at")}
    return PollHistory(**{**values, **moments})


def _columns(history: PollHistory, asked_at: datetime) -> dict[str, object]:
    moments = {
        name: datetime.fromtimestamp(getattr(history, name), UTC) for name in ("changed_at", "polled_at")
    }
    return {**history._asdict(), **moments, "issued": history.kind == SOLD, "asked_at": asked_at}


_UPDATE = (
    update(polls)
    .where(polls.c.presence_id == bindparam("which"))
    .values({name: bindparam(name) for name in (*PollHistory._fields, "asked_at")})
)
