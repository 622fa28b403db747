"""Cards as callers of the API know them: found by number or token, validated, issued, loaded and changed."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeVar
from urllib.parse import urlsplit

import structlog

from connectors.api.card import Absent, Seen
from connectors.api.errors import SideError
from mappings.lifecycle import CardStatus
from mappings.serials import Serial, SerialError, mask
from sync.authority.redemptions import new_id
from sync.authority.work import CardBusy, CvcRefused, Hands, check_cvc, check_known_cvc, not_as_written, once
from sync.authority.work import CardNotAccepted as CardNotAccepted
from sync.crashpoints import crashpoint
from sync.decisions import authority
from sync.decisions.authority import Denied, Reason
from sync.ledger.cards.pool import Pool, PoolNumber
from sync.ledger.cards.recorded import recorded_minor
from sync.ledger.cards.store import AlreadyThere
from sync.ledger.hub import redemptions as rows
from sync.ledger.hub.guesses import CARD_MAX, TOKEN_MAX, Guesses
from sync.ledger.support import receipt_lines
from sync.model import AlreadyMade, Caller, Card, Decision, HubEntry, HubEntryKind, Tampered, to_create
from sync.reconcile.card import look
from sync.reconcile.work import Work

log = structlog.get_logger(__name__)

T = TypeVar("T")

ISSUE_TRIES_MAX = 5


class TooManyGuesses(Exception):
    """The token has given too many numbers and CVCs that do not fit; it is not heard for a while."""


@dataclass(frozen=True)
class Key:
    """How a caller names a card: by its number, or by the token that stands in its QR code."""

    number: str | None = None
    token: str | None = None
    cvc: str | None = None


@dataclass(frozen=True)
class Wanted:
    """A card to be issued. Amount in minor units."""

    amount_minor: int
    currency: str
    number: str | None = None
    expires_on: date | None = None
    brand: str | None = None
    with_cvc: bool = False


@dataclass(frozen=True)
class Issued:
    """A new card, for whoever hands it over: what is not kept anywhere is told now."""

    id: str
    card_id: int
    serial: Serial
    cvc: str | None


@dataclass(frozen=True)
class Cards:
    hands: Hands
    pool: Pool
    guesses: Guesses

    # --- finding --------------------------------------------------------------------------------------------

    def find(self, key: Key, token_id: str, *, needs_cvc: bool = False) -> int:
        """The card that the caller may use with this key.

        With `needs_cvc` a card that has none is not accepted. Raises CardNotAccepted and TooManyGuesses.
        """
        link = self.hands.link()
        now = link.clock()
        if self.guesses.is_spent(f"token:{token_id}", TOKEN_MAX, now):
            raise TooManyGuesses
        card_id = self._named(key)
        if card_id is not None and self._has_right_cvc(card_id, key.cvc, now, needs_cvc):
            return card_id
        self._count_guess(token_id, now)
        raise CardNotAccepted

    def _count_guess(self, token_id: str, now: datetime) -> None:
        count = self.guesses.count(f"token:{token_id}", now)
        if count >= TOKEN_MAX:
            log.warning(
                "numbers or CVCs are being tried through the API; its token is not heard for a while",
                action="api.guessing",
                caller=token_id,
                guesses=count,
            )

    def for_sides(self, card_id: int, cvc: str | None) -> str | None:
        """The CVC, if it is the sides' to check: giftsync knows only those that it has made itself."""
        return None if cvc is None or self._cvc_of(card_id) is not None else cvc

    def asking_sides(self, card_id: int, token_id: str, cvc: str | None, ask: Callable[[], T]) -> T:
        """What `ask` comes to; a CVC that a side refuses is a guess, too. Raises CardNotAccepted."""
        now, subject = self.hands.link().clock(), f"card:{card_id}"
        if cvc is not None and self.guesses.is_spent(subject, CARD_MAX, now):
            self._count_guess(token_id, now)
            raise CardNotAccepted
        try:
            answer = ask()
        except CvcRefused:
            if cvc is not None:
                self.guesses.count(subject, now)
            self._count_guess(token_id, now)
            raise
        if cvc is not None:
            self.guesses.forget(subject)
        return answer

    def _named(self, key: Key) -> int | None:
        link = self.hands.link()
        vault, engine = link.store.vault, link.store.engine
        if key.token is not None:
            # The whole address that a QR code holds will do.
            card_id = vault.card_of(urlsplit(key.token.strip()).path.rstrip("/").rpartition("/")[2])
            return card_id if card_id is not None and receipt_lines.card_by_id(engine, card_id) else None
        try:
            serial = Serial(key.number or "")
        except SerialError:
            return None
        found = receipt_lines.cards_by_number(engine, vault.index(serial))
        return found[0] if len(found) == 1 else None

    def _has_right_cvc(self, card_id: int, cvc: str | None, now: datetime, needs_cvc: bool) -> bool:
        expected = self._cvc_of(card_id)
        if expected is None:
            return not needs_cvc
        subject = f"card:{card_id}"
        # Compared in any case, so that a locked card takes as long as any other.
        is_right = hmac.compare_digest(expected, cvc or "") and cvc is not None
        if self.guesses.is_spent(subject, CARD_MAX, now):
            return False
        if is_right:
            self.guesses.forget(subject)
        elif cvc is not None:
            self.guesses.count(subject, now)
        return is_right

    def _cvc_of(self, card_id: int) -> str | None:
        """The CVC that the card is used with; None when it has none that giftsync knows. Raises Denied."""
        link = self.hands.link()
        try:
            if not rows.was_issued_with_cvc(link.store.engine, link.store.vault, card_id):
                return None
        except Tampered:
            raise not_as_written() from None
        serial = _serial_of(self.load(card_id))
        return None if serial is None else link.store.vault.cvc(serial)

    def by_ref(self, ref: str) -> int:
        """The card of a token. Raises CardNotAccepted."""
        found = self._named(Key(token=ref))
        if found is None:
            raise CardNotAccepted
        return found

    def load(self, card_id: int) -> Card:
        """The card as the ledger has it, without what was recorded and is still to be entered.

        Raises Denied for one whose rows somebody changed.
        """
        store = self.hands.link().store
        try:
            return authority.without_recorded(store.load(card_id), recorded_minor(store.engine, card_id))
        except Tampered:
            raise not_as_written() from None

    def known(self, card_id: int) -> tuple[Card, frozenset[str]]:
        """The card as the ledger has it, for a caller without a CVC; looked at where a side may need one.

        Raises CvcRefused and Denied; CardBusy and LinkStopped as `looked_at` does.
        """
        card = self.load(card_id)
        check_known_cvc(card)
        if self.hands.cvc_kinds.unsure(card, self.hands.link()):
            return self.looked_at(card_id)
        return card, frozenset()

    def looked_at(self, card_id: int, cvc: str | None = None) -> tuple[Card, frozenset[str]]:
        """The card after a fresh look at its sides, and the sides that could not be seen.

        Raises CvcRefused, CardBusy and LinkStopped.
        """
        with self.hands.claimed(card_id) as work:
            card = work.link.store.load(card_id)
            with work.link.cvcs.lent(card, cvc):
                card, unseen = look(card, work, self.hands.pool)
            self.hands.cvc_kinds.saw(card, work)
            check_cvc(work, cvc)
            return card, unseen

    # --- changing -------------------------------------------------------------------------------------------

    def issue(self, wanted: Wanted, caller: Caller) -> Issued:
        """Make a card; the sides follow. Raises Denied, CardBusy and LinkStopped."""
        made = self._made(caller)
        if made is None:
            self.hands.check_running()
            with suppress(AlreadyMade):
                self._issue(wanted, caller)
            made = self._made(caller)
        crashpoint("authority.answers")
        if made is None:
            raise CardBusy
        return self._issued(made)

    def _issue(self, wanted: Wanted, caller: Caller) -> None:
        link = self.hands.link()
        if wanted.currency != link.currency:
            raise Denied(
                Reason.CURRENCY_MISMATCH, f"Cards are in {link.currency} here, not in {wanted.currency}."
            )
        for _ in range(ISSUE_TRIES_MAX):
            serial, pooled = self._number(wanted)
            self._check_free(serial)
            sides = [n for n, s in link.sides.items() if link.rules.side(n).creates]
            presences = tuple(
                to_create(name, serial, wanted.brand)
                for name in sides
                if link.sides[name].capabilities.accepts_serial(serial) is None
            )
            if not presences:
                raise Denied(Reason.NUMBER_REFUSED, "No side of this link can hold a card with that number.")
            entry = HubEntry(
                new_id("iss"), HubEntryKind.ISSUE, wanted.amount_minor, caller, with_cvc=wanted.with_cvc
            )
            blank = Card(wanted.currency, 0, CardStatus.ACTIVE, wanted.expires_on, presences)
            decision = authority.load(blank, entry, wanted.currency, link.rules, link.today)
            try:
                numbers = [] if pooled is None else [pooled.id]
                link.store.create(decision, link.clock(), pool_number_ids=numbers)
            except AlreadyThere:
                if pooled is None:
                    raise Denied(Reason.NUMBER_TAKEN, "There is a card with that number already.") from None
                continue  # The number went to another card meanwhile.
            self.hands.wake()
            return
        raise CardBusy

    def _number(self, wanted: Wanted) -> tuple[Serial, PoolNumber | None]:
        """The number that was given, or one of the pool. Raises Denied."""
        if wanted.number is not None:
            try:
                return Serial(wanted.number), None
            except SerialError:
                raise Denied(Reason.NUMBER_REFUSED, "That is not a number that a card can have.") from None
        for side in self.hands.link().sides:
            free = self.pool.next_free(side, wanted.brand)
            if free is not None:
                return free.serial, free
        raise Denied(Reason.POOL_EMPTY, "No number is left in the pool; give one, or fill the pool.")

    def _check_free(self, serial: Serial) -> None:
        """Raises Denied when a side has a card with money under the number, or cannot say."""
        link = self.hands.link()
        if receipt_lines.cards_by_number(link.store.engine, link.store.vault.index(serial)):
            raise Denied(Reason.NUMBER_TAKEN, "There is a card with that number already.")
        for name, side in link.sides.items():
            try:
                found = side.lookup(serial)
            except SideError:
                raise Denied(Reason.SIDE_UNAVAILABLE, f"{name} cannot be reached.", (name,)) from None
            waits = (
                isinstance(found, Seen) and found.status is CardStatus.INACTIVE and not found.balance_minor
            )
            # A number that was generated in advance, and waits to be issued, is free.
            if not isinstance(found, Absent) and not waits:
                raise Denied(Reason.NUMBER_TAKEN, f"{name} has a card with that number already.", (name,))

    def _issued(self, entry: rows.EntryRow) -> Issued:
        link = self.hands.link()
        serial = _serial_of(self.load(entry.card_id))
        if serial is None:
            raise CardNotAccepted
        return Issued(
            entry.id, entry.card_id, serial, link.store.vault.cvc(serial) if entry.with_cvc else None
        )

    def load_money(self, card_id: int, amount_minor: int, currency: str, caller: Caller) -> rows.EntryRow:
        """Put money on a card; the sides follow. Raises Denied, CardBusy and LinkStopped."""

        def decide(card: Card, work: Work) -> Decision:
            entry = HubEntry(new_id("load"), HubEntryKind.LOAD, amount_minor, caller)
            return authority.load(card, entry, currency, work.link.rules, work.link.today)

        return self._change(card_id, caller, decide)

    def change(
        self,
        card_id: int,
        caller: Caller,
        *,
        status: CardStatus | None,
        expires_on: date | None,
        sets_expiry: bool,
    ) -> rows.EntryRow:
        """Set status, expiry or both; the sides follow. Raises Denied, CardBusy and LinkStopped."""
        words = [f"status {status.value}"] if status is not None else []
        if sets_expiry:
            words.append(f"expires {expires_on.isoformat() if expires_on else 'never'}")

        def decide(card: Card, work: Work) -> Decision:
            # A card that is closed has what is on it end with it: nobody may have paid with it just now.
            ended = -card.balance_minor if status is CardStatus.CLOSED else 0
            entry = HubEntry(new_id("chg"), HubEntryKind.CHANGE, ended, caller, words=", ".join(words))
            return authority.change(
                card,
                entry,
                work.link.rules,
                work.link.today,
                status=status,
                expires_on=expires_on,
                sets_expiry=sets_expiry,
            )

        return self._change(card_id, caller, decide)

    def _change(
        self, card_id: int, caller: Caller, decide: Callable[[Card, Work], Decision]
    ) -> rows.EntryRow:
        def attempt() -> None:
            with self.hands.claimed(card_id) as work:
                if self._made(caller) is None:
                    # What customers did meanwhile is taken in before anything rests on the balance.
                    card, _ = look(work.link.store.load(card_id), work, self.hands.pool)
                    work.commit(card, decide(card, work))
                    crashpoint("authority.changed")

        return once(lambda: self._made(caller), attempt)

    def _made(self, caller: Caller) -> rows.EntryRow | None:
        engine = self.hands.link().store.engine
        made = None if caller.key is None else rows.made_by(engine, caller.token_id, caller.key)
        return None if made is None else rows.find_entry(engine, made)

    def ref(self, card_id: int) -> str:
        """The card's public token."""
        return self.hands.link().store.vault.card_ref(card_id)


def _serial_of(card: Card) -> Serial | None:
    return next((p.serial for p in card.presences if p.serial is not None), None)


def last_four(card: Card) -> str:
    """The last characters of the card's number, masked."""
    return next((mask(p.last_chars) for p in card.presences if p.last_chars), "")
