"""Maestra as a side: a card is read by calculating an order that it pays, and pays by an order that is saved.

The marker is the order's external id. Orders are not listed, so a payment whose answer was lost is told by
what the card holds, unless it is proved that an order under a known id moves nothing again.

A new card is imported and then sold by an order of nobody's, which activates it (maestra.md §1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Seen
from connectors.api.effect import (
    Applied,
    CannotTell,
    Effect,
    EffectKind,
    FindResult,
    Found,
    NotFound,
    Save,
    no_save,
)
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed, SideError, Throttled
from connectors.api.feed import Feed, HintPage
from connectors.kit.fields import NotBelieved
from connectors.kit.one_client import CardByCardSide
from connectors.maestra.client import Invalid, ProjectClient
from connectors.maestra.doctor import ProjectDoctor
from connectors.maestra.imports import Row, SharedImports
from connectors.maestra.model import (
    NOBODYS_NUMBER,
    GiftCard,
    Wire,
    are_among,
    native_id_of,
    new_cards_file,
    paying_order,
    read_card,
    selling_order,
    told_by_value,
)
from mappings.lifecycle import CardStatus
from mappings.sentences import say
from mappings.serials import Serial

#: A payment is sent again once only while nothing proves that it is safe; then a person is asked.
PAYMENTS_MAX: Final = 2
#: A row that was imported so often without a card is refused.
IMPORTS_MAX: Final = 3
#: How long a new card is looked for after its import, in seconds: together well within the lease on it.
LOOKS: Final = (0.0, 1.0, 2.0, 4.0, 8.0)
#: Cards in one file of an import by the pack.
PACK_SIZE: Final = 200
_NAME: Final = "Maestra"


@dataclass(frozen=True)
class Habits:
    """What is proved of the project, and what the merchant allows."""

    #: What Maestra says of a number that no card has.
    absent_reasons: Collection[str] = ()
    #: What it says of an order whose external id is known already.
    known_order_reasons: Collection[str] = ()
    #: Proved: an order that is saved again under its id moves nothing again.
    order_id_applies_once: bool = False
    #: Proved: an imported number is a card that waits to be sold.
    imports_new_cards: bool = False
    #: Allowed: a payment counts as carried out when the card holds exactly that much less.
    believes_balance: bool = True

    @property
    def repeats_safely(self) -> bool:
        """Whether an order may be sent again without knowing what became of it."""
        return self.order_id_applies_once or bool(self.known_order_reasons)


class MaestraSide(CardByCardSide):
    """One project. Thread-safe."""

    _client: ProjectClient
    _system = _misread = _NAME

    def __init__(
        self,
        client: ProjectClient,
        context: BuildContext,
        *,
        identity: str,
        wire: Wire,
        habits: Habits,
        id_key: bytes,
        gather_seconds: float,
    ) -> None:
        self.name = context.name
        self.known_as = identity
        #: No webhook and no export is known: cards are looked at in turn (maestra.md §5).
        self.feeds: Sequence[Feed] = ()
        why_not = _why_no_creates(wire, habits)
        self.capabilities = Capabilities(
            creates=not why_not,
            debits=bool(wire.pay),
            credits=False,
            sets_expiry=False,
            sets_status=frozenset(),
            notifies=False,
            lists_entries=False,
            hides_serials=False,
            moves_when_suspended=False,
            read_batch_max=1,
            serial_length_min=4,
            serial_length_max=40,
            serial_digits_only=False,
            why_no_creates=why_not,
        )
        self.abilities = Abilities(
            examinable=self,
            # Without a mark on the card, a pack that a crash cut off is told by its orders' ids alone.
            pack_creator=self if habits.repeats_safely and not why_not else None,
            place=context.place(
                Place(_NAME, _NAME, where="store", at=say("where Maestra's cards are taken"))
            ),
            keeps_cards_in=identity,
        )
        self._client, self._wire, self._habits = client, wire, habits
        self._id_key = id_key
        self._cvc_for: Callable[[Serial], str | None] = context.cvc_for or (lambda serial: None)
        self._clock, self._pause, self._timezone = context.clock, context.pause, context.timezone
        self._imports = SharedImports(self._import, context.pause, gather_seconds)
        self._doctor = ProjectDoctor(self, client, wire, habits.known_order_reasons, context.pause)

    def __repr__(self) -> str:
        return f"MaestraSide({self.name!r})"

    def identify(self) -> Identity:
        # Whatever it says of the number: the key, the endpoint and the operation are accepted.
        with suppress(Invalid):
            order = paying_order(self._wire, NOBODYS_NUMBER, None, None)
            self._client.calculate(self._wire.calculate, order)
        return Identity(self.known_as, self._wire.currency, self._timezone)

    def apply(self, effect: Effect, save: Save) -> Applied:
        try:
            match effect.kind:
                case EffectKind.CREATE:
                    return self._create(effect, save)
                case EffectKind.DEBIT if self._wire.pay:
                    return self._pay(effect, save)
        except NotBelieved as error:
            # Raised by what is read before anything is sent.
            reason = f"{_NAME} shows the card in a form that is not known: {error}"
            raise Refused(reason, Refusal.UNREADABLE) from None
        raise self._cannot()

    def find(self, effect: Effect) -> FindResult:
        try:
            card = self._card(effect.card)
        except NotBelieved as error:
            return CannotTell(str(error))
        if effect.kind is EffectKind.CREATE:
            return self._find_made(effect, card)
        if not effect.progress.get("before_minor"):
            return NotFound()
        if card is None:
            return CannotTell(f"{_NAME} shows the card no more")
        found = told_by_value(effect, card.balance_minor, self._id_of(effect.card))
        if found is not None and self._habits.believes_balance:
            return found
        if self._habits.repeats_safely:
            # Whether it is there or not, the same order does no harm.
            return NotFound()
        if card.balance_minor != int(effect.progress["before_minor"]):
            return CannotTell("the card was used meanwhile, and its payments are not listed")
        if int(effect.progress.get("attempts", "1")) >= PAYMENTS_MAX:
            return CannotTell("the card holds as much as before, and was asked for twice already")
        return NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        raise ValueError(f"{_NAME} has no feed {feed!r}")

    # Many new cards with one file.

    def pack_size(self, threads: int) -> int:
        return PACK_SIZE

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        """Import what is not there with one file, then sell each card; each has an outcome of its own."""
        wanted: dict[str, Effect] = {}
        outcomes: dict[int, Applied | SideError] = {}
        for position, effect in enumerate(effects):
            number = _number(effect.card)
            try:
                if number in wanted:
                    raise Refused("the number is in use", Refusal.TAKEN)
                if self._card(effect.card) is None:
                    wanted[number] = effect
            except (SideError, NotBelieved) as error:
                outcomes[position] = error if isinstance(error, SideError) else InDoubt(str(error))
        try:
            if wanted:
                self._imports.add([(number, one.amount_minor) for number, one in wanted.items()])
        except SideError as error:
            return [outcomes.get(position, error) for position in range(len(effects))]
        for position, effect in enumerate(effects):
            if position not in outcomes:
                outcomes[position] = self._outcome(effect)
        return [outcomes[position] for position in range(len(effects))]

    def _outcome(self, effect: Effect) -> Applied | SideError:
        try:
            return self._sell(effect, self._awaited(effect), no_save)
        except NotBelieved as error:
            return InDoubt(str(error))
        except SideError as error:
            # Where it is surely not sold, the imported number waits, and the next attempt goes on from there.
            return error

    # Reading.

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        found = self._card(card)
        if found is None or card.serial is None:
            return None
        return found.seen(card.serial, self._id_of(card), self._wire.currency, at)

    def _card(self, ref: CardRef) -> GiftCard | None:
        """The card by its number: it has no other id. Raises NotBelieved."""
        if ref.serial is None:
            if ref.native_id is None:
                return None
            raise NotBelieved("its number is not known, and a card is read by nothing else")
        cvv = self._cvc_for(ref.serial)
        for number in ref.serial.spellings if not ref.serial.reveal().isdigit() else [_number(ref)]:
            order = paying_order(self._wire, number, None, cvv)
            try:
                return read_card(self._client.calculate(self._wire.calculate, order), self._wire)
            except Invalid as error:
                if not are_among(error.reasons, self._habits.absent_reasons):
                    raise NotBelieved(str(error)) from None
        return None

    def _id_of(self, ref: CardRef) -> str:
        return native_id_of(ref.serial, self._id_key) if ref.serial is not None else ref.native_id or ""

    # Paying.

    def _pay(self, effect: Effect, save: Save) -> Applied:
        card = self._card(effect.card)
        if card is None:
            raise Refused(f"{_NAME} has no such card", Refusal.NOT_FOUND)
        is_repeated = bool(effect.progress.get("before_minor")) and self._habits.repeats_safely
        if not is_repeated:
            # A repetition may have emptied the card itself: Maestra tells by the order's id.
            self._check_pays(card, effect.amount_minor)
        attempts = int(effect.progress.get("attempts", "0"))
        if not is_repeated:
            save({"before_minor": str(card.balance_minor), "attempts": str(attempts + 1)})
        # What surely did not happen must not be taken for what a customer does later.
        untried = {} if is_repeated else {"before_minor": "", "attempts": str(attempts)}
        number = _number(effect.card)
        cvv = self._cvc_for(effect.card.serial) if effect.card.serial is not None else None
        order = paying_order(self._wire, number, effect.amount_minor, cvv, effect.marker)
        try:
            self._client.save(self._wire.pay, order)
        except (Throttled, NotSent, SideClosed):
            save(untried)
            raise
        except Invalid as error:
            if not are_among(error.reasons, self._habits.known_order_reasons):
                save(untried)
                raise self._refusal(error, effect) from None
        return Applied(self._id_of(effect.card), reference=effect.marker)

    def _check_pays(self, card: GiftCard, minor: int) -> None:
        if card.status is not CardStatus.ACTIVE:
            raise Refused(f"the card is {card.status_text.lower()}", Refusal.NOT_ACTIVE)
        if card.balance_minor < minor:
            raise Refused("the card holds less", Refusal.INSUFFICIENT_FUNDS)

    def _refusal(self, error: Invalid, effect: Effect) -> Refused:
        """Why, by what the card shows: the words of a refusal are not published."""
        try:
            card = self._card(effect.card)
            if card is None:
                return Refused(f"{_NAME} has no such card", Refusal.NOT_FOUND)
            self._check_pays(card, effect.amount_minor)
        except Refused as refused:
            return refused
        except (SideError, NotBelieved):
            pass  # It said no for certain; why is told by the next look.
        # A wrong or missing CVV among others: giftsync keeps none.
        return Refused(str(error), Refusal.MISSING_DETAIL)

    # Making cards.

    def _create(self, effect: Effect, save: Save) -> Applied:
        if not self.capabilities.creates:
            raise Refused(f"{_NAME} {self.capabilities.why_no_creates}", Refusal.MISSING_DETAIL)
        if effect.card.serial is None:
            raise Refused("the card has no number", Refusal.BAD_SERIAL)
        card = self._card(effect.card)
        if card is None:
            count = int(effect.progress.get("imports", "0")) + 1
            if count > IMPORTS_MAX:
                raise Refused("its row was imported and there is no card: see Maestra's log of imports")
            save({"imports": str(count)})
            self._imports.add([(_number(effect.card), effect.amount_minor)])
            card = self._awaited(effect)
        return self._sell(effect, card, save)

    def _awaited(self, effect: Effect) -> GiftCard:
        """The card once its import has brought it. Raises InDoubt when that takes longer."""
        for seconds in LOOKS:
            self._wait(seconds)
            try:
                card = self._card(effect.card)
            except NotBelieved as error:
                raise InDoubt(f"the new card cannot be read: {error}") from None
            except SideError:
                continue
            if card is not None:
                return card
        raise InDoubt("the import has not brought the card yet")

    def _wait(self, seconds: float) -> None:
        try:
            if seconds:
                self._pause(seconds)
        except NotSent:
            raise InDoubt("giftsync stops before the import has brought the card") from None

    def _sell(self, effect: Effect, card: GiftCard, save: Save) -> Applied:
        """Activate a card that was imported, by the order that carries the marker."""
        mine = effect.progress.get("selling") == "yes" and not self._habits.repeats_safely
        if card.status is not CardStatus.INACTIVE:
            if mine and card.status is CardStatus.ACTIVE:
                return Applied(self._id_of(effect.card), reference=effect.marker)
            if not self._habits.repeats_safely:
                raise Refused("the number is in use", Refusal.TAKEN)
        elif card.amount_minor != effect.amount_minor:
            raise Refused("the number waits in Maestra with another value", Refusal.OTHER)
        save({"selling": "yes"})
        number = _number(effect.card)
        order = selling_order(self._wire, number, effect.amount_minor, effect.marker)
        try:
            self._client.save(self._wire.sell, order)
        except Invalid as error:
            if not are_among(error.reasons, self._habits.known_order_reasons):
                if card.status is not CardStatus.INACTIVE:
                    raise Refused("the number is in use", Refusal.TAKEN) from None
                raise Refused(str(error), Refusal.OTHER) from None
        return Applied(self._id_of(effect.card), reference=effect.marker)

    def _find_made(self, effect: Effect, card: GiftCard | None) -> FindResult:
        """An imported card that waits to be sold is gone on with; the order that sold one is not listed."""
        if card is None or card.status is CardStatus.INACTIVE:
            return NotFound()
        if "selling" in effect.progress:
            # It waited to be sold when the order was sent, and nobody else knows the number.
            return Found(1, self._id_of(effect.card), effect.marker)
        return NotFound()

    def _import(self, rows: Sequence[Row]) -> None:
        try:
            self._client.import_rows(self._wire.new_cards, new_cards_file(self._wire, rows))
        except Invalid as error:
            raise Refused(f"the file of new cards was not taken: {error}", Refusal.MISSING_DETAIL) from None


def _number(ref: CardRef) -> str:
    """As the merchant writes it."""
    return "" if ref.serial is None else ref.serial.reveal()


def _why_no_creates(wire: Wire, habits: Habits) -> str:
    if not wire.pool_product or not wire.sell:
        return say("makes no cards: its table names no pool, or no operation that sells")
    if not habits.imports_new_cards:
        return say("is not known to take new numbers by import; `giftsync doctor --probe` tries it")
    return ""
