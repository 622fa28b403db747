"""The work on one card: claim it, load it, commit a decision, release it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError

from connectors.api.effect import EffectKind
from sync.crashpoints import crashpoint
from sync.ledger.cards import statements
from sync.ledger.cards.append import Appender, write_conflicts
from sync.ledger.cards.changes import change_row
from sync.ledger.cards.digest import digested
from sync.ledger.cards.recorded import read_recorded
from sync.ledger.cards.redemptions import write_hub
from sync.ledger.cards.rows import card_after, card_of, presence_columns
from sync.ledger.conflicts.stops import check_runs
from sync.ledger.database import prepared
from sync.ledger.database.engine import asking, reading, writing, writing_lazily
from sync.ledger.database.news import DUE, tell
from sync.ledger.database.prepared import Row
from sync.ledger.database.tables import arrivals, cards, pool_numbers
from sync.ledger.incoming.origins import keep_origin
from sync.ledger.incoming.traces import forget_traces
from sync.ledger.secrets.vault import Vault, VaultError
from sync.model import (
    Card,
    Decision,
    Intent,
    IntentChange,
    IntentState,
    IntentSums,
    InvariantBroken,
    KnownMarker,
    LeaseLost,
    Presence,
    RedemptionState,
    Tampered,
    altered,
)

#: PostgreSQL's word for a deadlock that it ended by refusing one of the two.
DEADLOCK = "40P01"


@dataclass(frozen=True)
class Lease:
    """The right to work on a card until a moment. Its fencing number makes a stale worker's commit fail."""

    card_id: int
    owner: str
    fencing: int
    until: datetime
    #: The one side that is to be looked at; None: all.
    due_for: str | None = None


@dataclass(frozen=True)
class Release:
    """How a card is given back: due again at a moment, or when there is news; see `Store.release`."""

    due_at: datetime | None
    awaits_side: bool = False


class AlreadyThere(Exception):
    """The card, serial or pool number was taken in the meantime by another worker."""


def random_marker() -> str:
    """A marker with 80 random bits, in the letters that every side's reference fields allow."""
    return "gs-" + base64.b32encode(secrets.token_bytes(10)).decode().lower()


@dataclass(frozen=True)
class Store:
    """The ledger's cards. Every method is one transaction; none makes a network call."""

    engine: Engine
    vault: Vault
    new_marker: Callable[[], str] = random_marker

    # --- leases ---------------------------------------------------------------------------------------------

    def claim(self, card_id: int, owner: str, now: datetime, lease_seconds: float) -> Lease | None:
        """Take the card, unless another worker has it."""
        which = {"card": card_id, "now": now, "limit": 1}
        return next(iter(self._claim(owner, now, lease_seconds, statements.CLAIM_CARD, which)), None)

    def claim_due(self, owner: str, now: datetime, lease_seconds: float, limit: int) -> list[Lease]:
        """Take up to `limit` cards that are due, or whose worker is gone, the longest waiting first.

        None while the link is stopped.
        """
        return self._claim(owner, now, lease_seconds, statements.CLAIM_DUE, {"now": now, "limit": limit})

    def _claim(
        self,
        owner: str,
        now: datetime,
        lease_seconds: float,
        claimable: Select[Any],
        which: Mapping[str, object],
    ) -> list[Lease]:
        until = now + timedelta(seconds=lease_seconds)
        with writing_lazily(self.engine) as connection:
            due = prepared.rows(connection, claimable, which)
            if not due:
                return []
            places = prepared.places_for(len(due))
            take = prepared.placed("card", [row["id"] for row in due], places)
            taken = prepared.rows(
                connection, statements.take_cards(places), {**take, "owner": owner, "until": until}
            )
        fencing = {row["id"]: row["fencing"] for row in taken}
        # A worker that is gone took the hint that it was woken by with it: every side is looked at.
        due_for = {row["id"]: row["due_for"] if row["lease_until"] is None else None for row in due}
        return [Lease(row["id"], owner, fencing[row["id"]], until, due_for[row["id"]]) for row in due]

    def free_all(self, now: datetime) -> int:
        """Take back every lease. Only for a worker that knows it is alone, at its start."""
        with self.engine.begin() as connection:
            return connection.execute(
                update(cards)
                .where(cards.c.lease_until.is_not(None))
                .values(lease_owner=None, lease_until=None, due_at=now, due_for=None)
            ).rowcount

    def renew(self, lease: Lease, now: datetime, lease_seconds: float) -> Lease:
        """Hold the card longer. Raises LeaseLost when it is not ours any more."""
        until = now + timedelta(seconds=lease_seconds)
        with writing_lazily(self.engine) as connection:
            renewal = {**lease_params(lease), "until": until}
            if prepared.change(connection, statements.RENEW_LEASE, renewal) != 1:
                raise LeaseLost
        return replace(lease, until=until)

    def release(self, lease: Lease, due_at: datetime | None, *, awaits_side: bool = False) -> None:
        """Give the card back, due again at `due_at` or when a hint said so meanwhile, whichever is first.

        With `awaits_side` it is due only because a side gave no answer, for which no single pass waits.
        """
        with writing_lazily(self.engine) as connection:
            _release(connection, lease, Release(due_at, awaits_side))

    # --- reading --------------------------------------------------------------------------------------------

    def load(self, card_id: int) -> Card:
        """The card with its presences and open intents, proved to be as giftsync wrote it.

        Raises Tampered when it is not, InvariantBroken when there is none.
        """
        with reading(self.engine) as connection:
            return self._load(connection, card_id)

    def load_each(self, card_ids: Sequence[int]) -> dict[int, Card]:
        """Those of these cards that there are and that are as giftsync wrote them, by id."""
        found: dict[int, Card] = {}
        with reading(self.engine) as connection:
            try:
                together = _rows_beside(connection, card_ids)
            except (ValueError, TypeError, VaultError):
                together = {}  # One of them cannot be read: which one, each tells by itself.
            for card_id in card_ids:
                try:
                    found[card_id] = self._load(connection, card_id, together.get(card_id))
                except InvariantBroken:
                    continue
        return found

    def _load(self, connection: Connection, card_id: int, read: _RowsBeside | None = None) -> Card:
        which = {"card": card_id}
        try:
            row = prepared.row(connection, statements.SELECT_CARD, which)
            if row is None:
                raise InvariantBroken(f"card {card_id} is gone from the ledger")
            if read is None:
                read = _rows_beside(connection, [card_id])[card_id]
            card = card_of(
                row,
                read.presences,
                read.open_intents,
                read.causes,
                prepared.rows(connection, statements.SELECT_OPEN_REDEMPTIONS, which)
                if row["open_redemptions"]
                else (),
                _asked(row),
                self.vault,
            )
        except (ValueError, TypeError, VaultError):
            raise Tampered(card_id) from None  # What stands there cannot be read as what it is.
        if not _is_as_written(card, row, self.vault):
            raise Tampered(card_id)
        if row["recorded"]:
            # Proved with the card that they are taken off.
            return altered(card, recorded=len(read_recorded(connection, self.vault, card_id)))
        return card

    def is_due(self, card_id: int, now: datetime) -> bool:
        """Whether the card is due by now."""
        with asking(self.engine) as connection:
            return bool(prepared.rows(connection, statements.SELECT_IF_DUE, {"card": card_id, "now": now}))

    def marked(self, card_id: int, markers: Sequence[str]) -> dict[str, KnownMarker]:
        """What the ledger knows of each of these markers that the card shows; unknown ones are left out."""
        if not markers:
            return {}
        with reading(self.engine) as connection:
            rows = prepared.rows_among(connection, statements.select_marked, "marker", markers)
        return {row["marker"]: _known(row, card_id) for row in rows}

    def landed(self, card_id: int) -> dict[str, KnownMarker]:
        """Every effect of giftsync's that is on the card, by marker."""
        with asking(self.engine) as connection:
            rows = prepared.rows(connection, statements.SELECT_LANDED, {"card": card_id})
        return {row["marker"]: _known(row, card_id) for row in rows}

    def doubted_sides(self, card_id: int) -> frozenset[str]:
        """The sides on which some request for the card was ever in doubt."""
        with asking(self.engine) as connection:
            rows = prepared.rows(connection, statements.SELECT_DOUBTED_SIDES, {"card": card_id})
        return frozenset(row["side"] for row in rows)

    # --- committing -----------------------------------------------------------------------------------------

    def commit(
        self,
        lease: Lease,
        before: Card,
        decision: Decision,
        now: datetime,
        run_id: int | None = None,
        release: Release | None = None,
    ) -> Card:
        """Commit a decision about the leased card, whole or not at all, and load what it made.

        With `release` the card is given back in the same transaction.

        Raises LeaseLost when the lease or the card's version is not what the decision was made with, and
        LinkStopped when an effect is to be sent and the link is stopped.
        """
        crashpoint("commit.before")
        if decision == Decision(before) and release is None:
            return before
        write = writing if must_survive(decision) else writing_lazily
        with write(self.engine) as connection:
            after = self.write(connection, lease, before, decision, now, run_id)
            if release is not None:
                _release(connection, lease, release)
            crashpoint("commit.inside")
        crashpoint("commit.after")
        return after

    def write(
        self,
        connection: Connection,
        lease: Lease,
        before: Card,
        decision: Decision,
        now: datetime,
        run_id: int | None,
    ) -> Card:
        """Write a decision in a transaction of the caller's. Raises LeaseLost and LinkStopped before anything
        was written.

        Presences that the card did not have before stand at its end. Raises IntegrityError for one that
        belongs to another card.
        """
        if _is_sent(decision):
            check_runs(connection)
        after, known = decision.card, len(before.presences)
        is_read = _asked_is_read(before, decision)
        # Then rows that the digest covers are written before it is known; a stale worker stops here.
        locks_first = is_read or len(after.presences) > known
        as_known = {**lease_params(lease), **_as_known(before)}
        if locks_first and prepared.row(connection, statements.LOCK_CARD, as_known) is None:
            raise LeaseLost
        added = tuple(self._insert_presence(connection, lease.card_id, p) for p in after.presences[known:])
        if added:
            presences = after.presences[:known] + added
            decision = replace(decision, card=replace(after, presences=presences))
        append = Appender(
            connection,
            self.vault,
            lease.card_id,
            lease.fencing,
            now,
            run_id,
            before.chain.seq,
            before.chain.head,
            before.open_intents,
        )
        append.movements(decision)
        for change in decision.intent_changes:
            append.intent_change(change)
        made = append.intents(decision.intents, self.new_marker, decision.card)
        for p in (*_renamed(before, after), *added):
            append.identity(p)
        if is_read:
            append.write()
            write_hub(connection, lease.card_id, decision, now)
            asked = asked_of(connection, lease.card_id)
        else:
            asked = _asked_after(before, decision, made)
        stored = card_after(decision, made, before.version + 1)
        stored = altered(stored, chain=altered(stored.chain, asked=asked))
        stored = digested(stored, append.seq, append.head, self.vault)
        # Before the card's other rows, so that these are under its lock and a stale worker stops here.
        self._update_card(connection, lease, before, stored, now)
        self._update_presences(connection, before, after)
        append.write()
        if not is_read:
            write_hub(connection, lease.card_id, decision, now)
        if before.behind and not after.behind:
            forget_traces(connection, lease.card_id)
        write_conflicts(connection, lease.card_id, after.currency, decision, now, self.vault, made)
        return stored

    def _update_card(
        self, connection: Connection, lease: Lease, before: Card, stored: Card, now: datetime
    ) -> None:
        """Raises LeaseLost where the card is not as it was read, or another worker has it."""
        columns = {
            **lease_params(lease),
            **_as_known(before),
            "balance_minor": stored.balance_minor,
            "status": stored.status.value,
            "expires_on": stored.expires_on,
            "held": stored.held,
            "behind": stored.behind,
            "open_redemptions": len(stored.redemptions),
            "version": stored.version,
            "chain_seq": stored.chain.seq,
            "chain_head": stored.chain.head,
            "digest": stored.chain.digest,
        }
        if prepared.row(connection, statements.UPDATE_CARD, columns) is None:
            raise LeaseLost
        if (stored.status, stored.expires_on) != (before.status, before.expires_on):
            change = change_row(lease.card_id, before, stored, now, self.vault)
            prepared.change(connection, statements.INSERT_CARD_CHANGE, change)

    def _update_presences(self, connection: Connection, before: Card, after: Card) -> None:
        """Write what changed of the presences that the card had before; `after` may have more."""
        for old, new in zip(before.presences, after.presences, strict=False):
            changes = presence_columns(new)
            if presence_columns(old) != changes:
                sealed = {**changes, "note": self.vault.seal_words(new.note)}
                prepared.change(connection, statements.UPDATE_PRESENCE, {"presence_id": new.id, **sealed})
            if old.contact is not None and new.contact is None:
                connection.execute(statements.FORGET_CONTACT, {"presence_id": new.id})
            if old.serial != new.serial:
                sealed = self._serial_columns(new)
                connection.execute(statements.UPDATE_SERIAL, {"presence_id": new.id, **sealed})

    def save_progress(
        self, lease: Lease, before: Card, marker: str, progress: Mapping[str, str], *, lazily: bool = False
    ) -> Card:
        """Remember what the next call of a multi-call effect depends on. Raises LeaseLost."""
        crashpoint("progress.before")
        intent = next(i for i in before.open_intents if i.marker == marker)
        saved = {**intent.progress, **progress}
        write = writing_lazily if lazily else writing
        with write(self.engine) as connection:
            after = self._renew(
                connection, lease, before, before.with_intent(altered(intent, progress=saved))
            )
            prepared.change(connection, statements.UPDATE_PROGRESS, {"of_marker": marker, "progress": saved})
        crashpoint("progress.after")
        return after

    def save_quiet(self, lease: Lease, before: Card, late: datetime, quiet: datetime) -> Card:
        """Have waits that end after `late` end at `quiet`: quiet periods, redemptions. Raises LeaseLost."""
        after, changed = before, []
        late_ones = {
            r.id for r in before.redemptions if r.state is RedemptionState.PENDING and r.ends_at > late
        }
        taken = (replace(r, ends_at=quiet) if r.id in late_ones else r for r in before.redemptions)
        after = replace(after, redemptions=tuple(taken))
        for intent in before.open_intents:
            if intent.not_before is not None and intent.not_before > late:
                after = after.with_intent(replace(intent, not_before=quiet))
                changed.append(intent.marker)
        with self.engine.begin() as connection:
            after = self._renew(connection, lease, before, after)
            for marker in changed:
                connection.execute(statements.UPDATE_QUIET, {"of_marker": marker, "not_before": quiet})
            for redemption_id in late_ones:
                connection.execute(statements.UPDATE_END, {"of_redemption": redemption_id, "ends_at": quiet})
        return after

    def _renew(self, connection: Connection, lease: Lease, before: Card, after: Card) -> Card:
        """Renew the card's digest for details of its open intents. Raises LeaseLost."""
        after = digested(after, before.chain.seq, before.chain.head, self.vault)
        known = {**lease_params(lease), **_as_known(before)}
        renewal = {**known, "digest": after.chain.digest}
        if prepared.change(connection, statements.UPDATE_DIGEST, renewal) != 1:
            raise LeaseLost
        return after

    def save_look(self, lease: Lease, marker: str, look_at: datetime) -> None:
        """Remember when what is in doubt is looked for next: no step of the intent. Raises LeaseLost."""
        with self.engine.begin() as connection:
            of = {"of_marker": marker}
            if connection.execute(statements.SELECT_OF_LEASED, {**lease_params(lease), **of}).first() is None:
                raise LeaseLost
            connection.execute(statements.UPDATE_LOOK, {**of, "look_at": look_at})
        crashpoint("look.after")

    def create(
        self,
        decision: Decision,
        now: datetime,
        *,
        run_id: int | None = None,
        arrival_id: int | None = None,
        pool_number_ids: Sequence[int] = (),
    ) -> int:
        """Insert a card that was met for the first time, with a pool number for each side that it gets one
        on.

        Returns its id. Raises AlreadyThere when a presence of it, or a pool number, belongs to a card by now.
        """
        crashpoint("create.before")
        try:
            with self.engine.begin() as connection:
                card_id = self.insert(connection, decision, now, run_id).id or 0
                consume(connection, card_id, arrival_id, None, now)
                # By id, so that two workers which want the same numbers wait for each other in one order.
                for number_id in sorted(pool_number_ids):
                    consume(connection, card_id, None, number_id, now)
                crashpoint("create.inside")
        except IntegrityError as error:
            raise AlreadyThere(str(error.orig).split("\n")[0]) from None
        except OperationalError as error:
            # Two workers that insert the same card, each from another side, wait for each other.
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise
            raise AlreadyThere("another worker inserts the card at the same time") from None
        crashpoint("create.after")
        return card_id

    def insert(
        self,
        connection: Connection,
        decision: Decision,
        now: datetime,
        run_id: int | None,
        held_by: tuple[str, datetime] | None = None,
    ) -> Card:
        """Insert one met card in a transaction of the caller's, claimed for `held_by` (owner, until) if any.

        Raises IntegrityError when a presence of it belongs to a card by now.
        """
        card = decision.card
        owner, until = held_by or (None, None)
        (made_card,) = prepared.rows(
            connection,
            statements.INSERT_CARD,
            {
                "currency": card.currency,
                "balance_minor": card.balance_minor,
                "status": card.status.value,
                "expires_on": card.expires_on,
                "held": card.held,
                "fencing": 0 if held_by is None else 1,
                "lease_owner": owner,
                "lease_until": until,
                "due_at": now if decision.intents and held_by is None else None,
                "created_at": now,
            },
        )
        card_id: int = made_card["id"]
        stored = tuple(self._insert_presence(connection, card_id, p) for p in card.presences)
        fencing = 0 if held_by is None else 1
        append = Appender(connection, self.vault, card_id, fencing, now, run_id, 0, "")
        append.movements(decision)
        made = append.intents(decision.intents, self.new_marker, replace(card, presences=stored))
        for p in stored:
            append.identity(p)
        append.write()
        write_hub(connection, card_id, decision, now)
        is_read = _asked_is_read(card, decision)
        asked = asked_of(connection, card_id) if is_read else _asked_after(card, decision, made)
        chain = replace(card.chain, asked=asked)
        decision = replace(decision, card=replace(card, id=card_id, presences=stored, chain=chain))
        after = digested(card_after(decision, made, 0), append.seq, append.head, self.vault)
        append.close(after.chain.digest)
        write_conflicts(connection, card_id, card.currency, decision, now, self.vault)
        return after

    def _insert_presence(self, connection: Connection, card_id: int, p: Presence) -> Presence:
        values = {
            "card_id": card_id,
            "side": p.side,
            **presence_columns(p),
            "note": self.vault.seal_words(p.note),
            **self._serial_columns(p),
            "contact_sealed": self.vault.seal_contact(p.contact),
        }
        (made,) = prepared.rows(connection, statements.INSERT_PRESENCE, values)
        return replace(p, id=made["id"])

    def _serial_columns(self, p: Presence) -> dict[str, object]:
        return {
            "serial_index": None if p.serial is None else self.vault.index(p.serial),
            "serial_sealed": None if p.serial is None else self.vault.seal(p.serial),
        }


def _known(row: Row, card_id: int) -> KnownMarker:
    creates = row["kind"] == EffectKind.CREATE.value
    return KnownMarker(
        amount_minor=row["amount_minor"],
        landings=row["landings"],
        copied=row["card_id"] != card_id,
        side=row["side"],
        creates=creates,
        doubted=bool(row["doubted"]),
    )


def _release(connection: Connection, lease: Lease, release: Release) -> None:
    held = lease_params(lease)
    if release.due_at is None:
        prepared.change(connection, statements.RELEASE_CARD, held)
    else:
        again = {**held, "again_at": release.due_at, "for_side": release.awaits_side}
        prepared.change(connection, statements.RELEASE_CARD_DUE, again)
        tell(connection, DUE)


def must_survive(decision: Decision) -> bool:
    """Whether a call or a person's belief rests on it, so that not even a power cut may undo it.

    An outcome that is lost leaves its intent `sent`, which is read back.
    """
    is_told = bool(decision.new_redemptions or decision.redemption_changes or decision.entries)
    return _is_sent(decision) or is_told or decision.resolution is not None


def _is_sent(decision: Decision) -> bool:
    """Whether a call to a side follows at once."""
    changed = any(change.state is IntentState.SENT for change in decision.intent_changes)
    return changed or any(intent.sends for intent in decision.intents)


@dataclass(frozen=True)
class _RowsBeside:
    """The rows of a card beside its own."""

    presences: list[Row] = field(default_factory=list)
    open_intents: list[Row] = field(default_factory=list)
    causes: list[Row] = field(default_factory=list)


def _rows_beside(connection: Connection, card_ids: Sequence[int]) -> dict[int, _RowsBeside]:
    """The rows of each of these cards. Raises ValueError, TypeError or VaultError for what cannot be read."""
    found = {card_id: _RowsBeside() for card_id in card_ids}
    for row in prepared.rows_among(connection, statements.select_presences, "card", card_ids):
        found[row["card_id"]].presences.append(row)
    for row in prepared.rows_among(connection, statements.select_open_intents, "card", card_ids):
        found[row["card_id"]].open_intents.append(row)
    for row in prepared.rows_among(connection, statements.select_causes, "card", card_ids):
        found[row["card_id"]].causes.append(row)
    return found


def _is_as_written(card: Card, sums: Row, vault: Vault) -> bool:
    """Whether the card fits its digest, and its chained rows what it says of them."""
    proved = digested(card, card.chain.seq, card.chain.head, vault).chain == card.chain
    rows = (sums["chained"] + card.chain.lost, sums["moved_minor"])
    return proved and rows == (card.chain.seq, card.balance_minor)


def _asked_is_read(before: Card, decision: Decision) -> bool:
    """Whether what the card's intents come to is to be read: an ended one has changed, or the API's rows."""
    known = {i.marker for i in before.open_intents}
    unclear = any(c.marker not in known for c in _counted(decision))
    by_hub = decision.new_redemptions or decision.redemption_changes or decision.entered
    return bool(by_hub or unclear or any(i.lost is not None for i in decision.intents))


def _asked_after(before: Card, decision: Decision, made: Sequence[Intent]) -> IntentSums:
    """What the card's intents come to after the decision, worked out."""
    was, known = before.chain.asked, {i.marker: i for i in before.open_intents}
    changes = _counted(decision)
    landed = [
        (c.landings - known[c.marker].landings, known[c.marker].amount_minor)
        for c in changes
        if c.landings is not None
    ]
    return altered(
        was,
        count=was.count + len(made),
        amount_minor=was.amount_minor + sum(i.amount_minor for i in made),
        landings=was.landings + sum(times for times, _ in landed),
        landed_minor=was.landed_minor + sum(times * amount for times, amount in landed),
        doubted=was.doubted
        + sum(c.doubted - known[c.marker].doubted for c in changes if c.doubted is not None),
    )


def _counted(decision: Decision) -> list[IntentChange]:
    return [c for c in decision.intent_changes if c.landings is not None or c.doubted is not None]


def asked_of(connection: Connection, card_id: int) -> IntentSums:
    """What all intents and redemptions of the card come to."""
    (sums,) = prepared.rows(connection, statements.SELECT_ASKED, {"card": card_id})
    return _asked(sums)


def _asked(sums: Row) -> IntentSums:
    names = ("asked", "asked_minor", "landings", "landed_minor", "doubted", "redemptions", "redeemed_minor")
    return IntentSums(*(sums[name] for name in names))


def _as_known(card: Card) -> dict[str, object]:
    """The row as we know it: the values that a commit or a save rests on."""
    return {
        "card_version": card.version,
        "known_balance": card.balance_minor,
        "known_status": card.status.value,
        "known_expires_on": card.expires_on,
        "known_held": card.held,
        "known_seq": card.chain.seq,
        "known_head": card.chain.head,
        "known_digest": card.chain.digest,
    }


def _renamed(before: Card, after: Card) -> list[Presence]:
    """Presences that are another card on their side than before, or have got their id there."""
    return [
        new
        for old, new in zip(before.presences, after.presences, strict=False)
        if (old.native_id, old.serial, old.last_chars, old.born)
        != (new.native_id, new.serial, new.last_chars, new.born)
    ]


def lease_params(lease: Lease) -> dict[str, object]:
    return {"lease_card": lease.card_id, "lease_fencing": lease.fencing, "lease_of": lease.owner}


def _keep_origin(connection: Connection, card_id: int, arrival_id: int) -> None:
    """The order that the card was bought with stays known when its arrival is gone."""
    found = connection.execute(select(arrivals.c.details).where(arrivals.c.id == arrival_id)).scalar()
    keep_origin(connection, card_id, found or {})


def consume(
    connection: Connection, card_id: int, arrival_id: int | None, pool_number_id: int | None, now: datetime
) -> None:
    if arrival_id is not None:
        _keep_origin(connection, card_id, arrival_id)
        connection.execute(arrivals.delete().where(arrivals.c.id == arrival_id))
    if pool_number_id is not None:
        result = connection.execute(
            update(pool_numbers)
            .where(pool_numbers.c.id == pool_number_id, pool_numbers.c.allotted_at.is_(None))
            .values(allotted_to=card_id, allotted_at=now)
        )
        if result.rowcount != 1:
            raise AlreadyThere("the pool number was allotted to another card")
