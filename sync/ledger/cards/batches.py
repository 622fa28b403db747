"""Many cards in one transaction: the importer's way through the same protocol.

A commit costs a flush to the disk, so creating, sending and settling cards one at a time is slow. Grouping
changes no guarantee: `sent` is still committed before the first call of its group, and outcomes after. A
crash in between leaves more intents `sent` than there were calls; each is read back before it is sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, bindparam, case, or_, select, update
from sqlalchemy.exc import IntegrityError

from mappings.serials import Serial
from sync.crashpoints import crashpoint
from sync.ledger.cards.store import AlreadyThere, Lease, Store, consume
from sync.ledger.database.engine import asking
from sync.ledger.database.tables import cards, import_rows, presences
from sync.ledger.incoming.origins import keep_origin
from sync.model import Card, Decision, LeaseLost, Tampered


@dataclass(frozen=True)
class InsertedCard:
    """A row of a plan that becomes a card."""

    row_id: int
    decision: Decision
    #: What came of the row, for people; empty when all went as planned.
    words: str = ""
    pool_number_id: int | None = None
    #: The order that it was bought with: `order`, `order_id`, `shipping_name`.
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Held:
    """A card in this process's hands."""

    lease: Lease
    card: Card


@dataclass(frozen=True)
class Step:
    """A decision about a held card, and when the card is due once it is given back; None keeps it."""

    held: Held
    decision: Decision
    give_back: bool = False
    due_at: datetime | None = None


_MET_ROW = (
    update(import_rows)
    .where(import_rows.c.id == bindparam("row_id"))
    .values(state=bindparam("new_state"), outcome=bindparam("words"), card_id=bindparam("card"))
)
_DUE = bindparam("due", type_=cards.c.due_at.type)
_GIVE_BACK = (
    update(cards)
    .where(
        cards.c.id == bindparam("card"),
        cards.c.fencing == bindparam("held_fencing"),
        cards.c.lease_owner == bindparam("owner"),
    )
    .values(
        lease_owner=None,
        lease_until=None,
        # A hint may have made it due while it was held.
        due_at=case(
            (or_(_DUE.is_(None), cards.c.due_at < _DUE), cards.c.due_at),
            else_=_DUE,
        ),
    )
)
_LINE = (
    update(import_rows)
    .where(import_rows.c.card_id == bindparam("card"))
    .values(batch_id=bindparam("batch"), batch_line=bindparam("line_number"))
)


@dataclass(frozen=True)
class Batches:
    """Every method is one transaction."""

    store: Store
    owner: str
    lease_seconds: float

    def create(self, born: Sequence[InsertedCard], now: datetime, run_id: int | None) -> list[Held]:
        """Make the rows cards, and hold those that have something to carry out.

        Raises AlreadyThere, with nothing made, when any of them is known by now.
        """
        crashpoint("batch.create")
        until = now + timedelta(seconds=self.lease_seconds)
        held: list[Held] = []
        changes = []
        try:
            with self.store.engine.begin() as connection:
                for one in born:
                    working = bool(one.decision.intents)
                    card = self.store.insert(
                        connection, one.decision, now, run_id, (self.owner, until) if working else None
                    )
                    card_id = card.id or 0
                    consume(connection, card_id, None, one.pool_number_id, now)
                    keep_origin(connection, card_id, self.store.vault.seal_details(one.details))
                    state = "met" if working else "done"
                    changes.append(
                        {"row_id": one.row_id, "new_state": state, "words": one.words, "card": card_id}
                    )
                    if working:
                        held.append(Held(Lease(card_id, self.owner, 1, until), card))
                if changes:
                    connection.execute(_MET_ROW, changes)
                crashpoint("batch.inside")
        except IntegrityError as error:
            raise AlreadyThere(str(error.orig).split("\n")[0]) from None
        return held

    def commit(self, steps: Sequence[Step], now: datetime, run_id: int | None) -> list[Held]:
        """Commit decisions; those whose card was lost to another worker are left out of the answer."""
        crashpoint("batch.commit")
        after: list[Held] = []
        back = []
        with self.store.engine.begin() as connection:
            for step in steps:
                lease = step.held.lease
                try:
                    card = self.store.write(connection, lease, step.held.card, step.decision, now, run_id)
                except LeaseLost:
                    continue  # Nothing was written for it.
                after.append(Held(lease, card))
                if step.give_back:
                    back.append(_giving_back(lease, step.due_at))
            if back:
                connection.execute(_GIVE_BACK, back)
        crashpoint("batch.committed")
        return after

    def give_back(self, held: Mapping[Lease, datetime | None]) -> None:
        """Release cards as they are, each due at its moment."""
        if held:
            with self.store.engine.begin() as connection:
                connection.execute(_GIVE_BACK, [_giving_back(lease, due) for lease, due in held.items()])

    def let_go(self, card_ids: Sequence[int], now: datetime) -> None:
        """Have others take up those of these cards that this owner holds: whoever held them is gone."""
        if card_ids:
            with self.store.engine.begin() as connection:
                connection.execute(
                    update(cards)
                    .where(cards.c.id.in_(card_ids), cards.c.lease_owner == self.owner)
                    .values(lease_owner=None, lease_until=None, due_at=now, due_for=None)
                )

    def claim(self, card_ids: Sequence[int], now: datetime) -> list[Held]:
        """Take cards that are free or ours already, and load them; tampered ones are left out."""
        until = now + timedelta(seconds=self.lease_seconds)
        free = or_(
            cards.c.lease_until.is_(None), cards.c.lease_until < now, cards.c.lease_owner == self.owner
        )
        with self.store.engine.begin() as connection:
            taken = connection.execute(
                update(cards)
                .where(cards.c.id.in_(card_ids), free)
                .values(lease_owner=self.owner, lease_until=until, fencing=cards.c.fencing + 1, due_at=None)
                .returning(cards.c.id, cards.c.fencing)
            ).all()
        held, changed = [], dict[Lease, datetime | None]()
        for row in sorted(taken):
            lease = Lease(row.id, self.owner, row.fencing, until)
            try:
                held.append(Held(lease, self.store.load(row.id)))
            except Tampered:
                changed[lease] = now  # The worker tells of it and holds it.
        self.give_back(changed)
        return held

    def renew(self, now: datetime) -> None:
        """Hold everything that this process holds a while longer."""
        with self.store.engine.begin() as connection:
            connection.execute(
                update(cards)
                .where(cards.c.lease_owner == self.owner, cards.c.lease_until.is_not(None))
                .values(lease_until=now + timedelta(seconds=self.lease_seconds))
            )

    def put_in_file(self, batch_id: int, card_ids: Sequence[int]) -> None:
        """Remember which line of a file each card is."""
        with self.store.engine.begin() as connection:
            connection.execute(
                _LINE,
                [
                    {"card": card_id, "batch": batch_id, "line_number": line}
                    for line, card_id in enumerate(card_ids)
                ],
            )

    def known(self, side: str, serials: Sequence[Serial], native_ids: Sequence[str]) -> set[str]:
        """Which of these serials (by keyed hash) and native ids a card of the hub has on the side."""
        indexes = [self.store.vault.index(serial) for serial in serials]
        query = select(presences.c.serial_index, presences.c.native_id).where(
            and_(
                presences.c.side == side,
                or_(presences.c.serial_index.in_(indexes), presences.c.native_id.in_(native_ids)),
            )
        )
        with asking(self.store.engine) as connection:
            return {value for row in connection.execute(query) for value in row if value is not None}


def _giving_back(lease: Lease, due_at: datetime | None) -> dict[str, object]:
    return {"card": lease.card_id, "held_fencing": lease.fencing, "owner": lease.owner, "due": due_at}
