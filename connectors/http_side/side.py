"""A shop by the contract as a side: giftsync's marker is the Idempotency-Key of each write.

The key stands on the movement, or the card, that it made, so that each intent can be read back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from connectors.api.abilities import Abilities
from connectors.api.build import BuildContext
from connectors.api.bulk import Listed
from connectors.api.capabilities import Capabilities, Identity, Place
from connectors.api.card import CardRef, Seen
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Found, NotFound, Save
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, SideError
from connectors.api.feed import Feed, Hint, HintPage
from connectors.api.webhooks import Delivery, DeliveryAnswer
from connectors.http_side.client import Rejected, ShopClient
from connectors.http_side.doctor import ShopDoctor
from connectors.http_side.model import (
    CONTRACT,
    WORDS,
    Shop,
    ShopCard,
    read_card,
    read_movement,
    read_shop,
)
from connectors.http_side.webhooks import read_delivery, unresolved
from connectors.kit.fields import NotBelieved, moment_of
from connectors.kit.one_client import CardByCardSide
from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.sentences import say
from mappings.serials import Serial

T = TypeVar("T")

CHANGES: Final = "changes"
KEY_APPLIES_ONCE: Final = "key_applies_once"
PAGE_SIZE: Final = 100
#: What an effect saves before its first request.
SENT: Final = {"sent": "yes"}
REASONS: Final = {
    "not_found": Refusal.NOT_FOUND,
    "insufficient_funds": Refusal.INSUFFICIENT_FUNDS,
    "not_active": Refusal.NOT_ACTIVE,
    "expired": Refusal.EXPIRED,
    "over_limit": Refusal.OVER_LIMIT,
    "number_taken": Refusal.TAKEN,
    "number_refused": Refusal.BAD_SERIAL,
    "currency_mismatch": Refusal.CURRENCY,
}


def capabilities_of(
    features: Collection[str], *, length_min: int, length_max: int, digits_only: bool, key_applies_once: bool
) -> Capabilities:
    """What a shop with these features can do."""
    statuses: set[CardStatus] = set()
    if "suspend" in features:
        statuses |= {CardStatus.ACTIVE, CardStatus.SUSPENDED}
    if "close" in features:
        statuses.add(CardStatus.CLOSED)
    return Capabilities(
        creates="create" in features,
        debits="debit" in features,
        credits="credit" in features,
        sets_expiry="expiry" in features,
        sets_status=frozenset(statuses),
        notifies=False,
        lists_entries=True,
        hides_serials=False,
        moves_when_suspended=False,
        read_batch_max=1,
        serial_length_min=length_min,
        serial_length_max=length_max,
        serial_digits_only=digits_only,
        applies_marker_once=key_applies_once,
        why_no_creates="does not make cards: `create` is not among its features",
    )


class HttpSide(CardByCardSide):
    """One shop. Thread-safe: all state is in the shop."""

    _client: ShopClient
    _system = "the shop"
    _misread = "the shop shows the card not as agreed"

    def __init__(
        self,
        client: ShopClient,
        context: BuildContext,
        capabilities: Capabilities,
        *,
        known_as: str,
        title: str,
        changes_seconds: float,
        features: frozenset[str],
        webhook_key: bytes | None = None,
    ) -> None:
        self.name, self.known_as, self.features = context.name, known_as, features
        self.capabilities = capabilities
        self.feeds: Sequence[Feed] = (Feed(CHANGES, changes_seconds),)
        self.abilities = Abilities(
            listener=None if webhook_key is None else self,
            lister=self,
            examinable=self,
            place=context.place(Place(title, title, where=context.name, at=say("at {place}", place=title))),
            keeps_cards_in=f"the shop at {known_as.removeprefix('http:')}",
        )
        self._client, self._clock = client, context.clock
        self._webhook_key = webhook_key
        self._doctor = ShopDoctor(self, context.pause)

    def __repr__(self) -> str:
        return f"HttpSide({self.name!r})"

    def shop(self) -> Shop:
        """What the shop says of itself; raises SideClosed where it is another contract."""
        try:
            shop = self._agreed(lambda: read_shop(self._client.get("shop")))
        except Rejected as error:
            raise SideClosed(
                f"there is no shop at this address: {error}", "Check `url` in the side's table."
            ) from None
        if shop.contract.partition(".")[0] != CONTRACT:
            raise SideClosed(
                "the shop implements another version of the contract",
                f"giftsync takes version {CONTRACT}: `giftsync contract show` prints it.",
            )
        return shop

    def identify(self) -> Identity:
        shop = self.shop()
        return Identity(f"http:{shop.id}", shop.currency, shop.timezone)

    def apply(self, effect: Effect, save: Save) -> Applied:
        match effect.kind:
            case EffectKind.CREATE if self.capabilities.creates:
                return self._create(effect, save)
            case EffectKind.CREDIT if self.capabilities.credits:
                return self._move(effect, save)
            case EffectKind.DEBIT if self.capabilities.debits:
                return self._move(effect, save)
            case EffectKind.SET_STATUS if effect.status in self.capabilities.sets_status:
                return self._change(effect, {"status": WORDS[effect.status or CardStatus.ACTIVE]})
            case EffectKind.SET_EXPIRY if self.capabilities.sets_expiry:
                return self._change(effect, {"expires_on": _day(effect)})
        raise self._cannot()

    def find(self, effect: Effect) -> FindResult:
        card = self._agreed(lambda: self._card(effect.card))
        if card is None:
            return NotFound()
        match effect.kind:
            case EffectKind.CREATE:
                return Found(1, card.id) if card.key == effect.marker else NotFound()
            case EffectKind.SET_STATUS:
                wanted = WORDS[effect.status or CardStatus.ACTIVE]
                return Found(1, card.id) if card.status == wanted else NotFound()
            case EffectKind.SET_EXPIRY:
                return Found(1, card.id) if card.expires_on == effect.expires_on else NotFound()
        landed = card.landed(effect.marker)
        return Found(len(landed), card.id, landed[0].id) if landed else NotFound()

    def hints(self, feed: str, cursor: str | None) -> Iterator[HintPage]:
        if feed != CHANGES:
            raise ValueError(f"this side has no feed {feed!r}")
        after, is_over = cursor, False
        while not is_over:
            page = self._page("changes", after)
            hints, newest, more = self._agreed(lambda page=page: _changes(page))  # type: ignore[misc]
            if hints or newest != after:
                yield HintPage(hints, newest)
            is_over = not more or newest == after
            after = newest

    # Abilities.

    def read_delivery(self, headers: Mapping[str, str], body: bytes) -> Delivery | None:
        return read_delivery(self._webhook_key or b"", headers, body, self._clock())

    def resolve(self, deliveries: Sequence[Delivery]) -> Sequence[DeliveryAnswer | SideError]:
        unresolved(deliveries)
        return []

    def creation_limit(self) -> tuple[int, str] | None:
        return None

    def list_cards(self, on_progress: Callable[[int], None]) -> Iterator[Listed]:
        after: str | None = None
        gathered = 0
        while True:
            said = self._page("cards", after)
            page = self._agreed(lambda said=said: _cards(said))  # type: ignore[misc]
            for card in page:
                yield Listed(self._agreed(lambda card=card: card.seen(self._clock(), entries=False)), False)  # type: ignore[misc]
            gathered += len(page)
            on_progress(gathered)
            newest = said.get("next")
            if newest is None or newest == after:
                return
            if not isinstance(newest, str):
                raise InDoubt("the shop's list of cards has no cursor")
            after = newest

    def details_of(self, native_ids: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        return {}

    # Reading.

    def _seen(self, card: CardRef, at: datetime, *, entries: bool, urgent: bool) -> Seen | None:
        found = self._card(card)
        if found is None:
            return None
        seen = found.seen(at, entries=entries)
        if card.native_id is None and seen.serial != card.serial:
            raise NotBelieved("it is another card than was asked for")
        return seen

    def _card(self, ref: CardRef) -> ShopCard | None:
        """The card by its id, or else by its number; None when the shop says that there is none."""
        try:
            if ref.native_id is not None:
                return read_card(self._client.get("cards", ref.native_id))
            return read_card(self._client.look_up(ref.serial.reveal() if ref.serial is not None else ""))
        except Rejected as error:
            if error.code == "not_found":
                return None
            raise InDoubt(f"{error} to a read") from None

    def _page(self, what: str, after: str | None) -> dict[str, Any]:
        params: dict[str, str | int] = {"limit": PAGE_SIZE} | ({} if after is None else {"after": after})
        try:
            return self._client.get(what, params=params)
        except Rejected as error:
            raise InDoubt(f"{error} to a read of {what}") from None

    @staticmethod
    def _agreed(read: Callable[[], T]) -> T:
        """What is read; in doubt when it is not as the contract has it."""
        try:
            return read()
        except NotBelieved as error:
            raise InDoubt(f"the shop's answer is not as agreed: {error}") from None

    # Writing.

    def _create(self, effect: Effect, save: Save) -> Applied:
        if effect.card.serial is None:
            raise Refused("the card has no number", Refusal.BAD_SERIAL)
        by_number = CardRef(serial=effect.card.serial)
        if "sent" in effect.progress:
            made = self._agreed(lambda: self._card(by_number))
            if made is not None and made.key == effect.marker:
                return Applied(made.id, made.balance_minor)
        body: dict[str, Any] = {
            "number": effect.card.serial.reveal(),
            "amount": decimal_from_minor(effect.amount_minor, effect.currency),
            "currency": effect.currency,
            "expires_on": _day(effect),
            "note": effect.note,
        } | ({"brand": effect.brand} if effect.brand else {})
        save(SENT)
        try:
            said = self._client.send("POST", "cards", body=body, key=effect.marker)
        except Rejected as error:
            if error.code != "number_taken":
                raise _refused(error) from None
            made = self._agreed(lambda: self._card(by_number))
            if made is None or made.key != effect.marker:
                raise Refused(
                    "the number is in use", Refusal.TAKEN, made.id if made is not None else error.card
                ) from None
            return Applied(made.id, made.balance_minor)
        made = self._agreed(lambda: read_card(said))
        if made.key != effect.marker or Serial(made.number) != effect.card.serial:
            raise InDoubt("the shop answers with another card than was asked for")
        return Applied(made.id, made.balance_minor)

    def _move(self, effect: Effect, save: Save) -> Applied:
        sign = 1 if effect.kind is EffectKind.CREDIT else -1
        native_id = effect.card.native_id
        # A repetition reads first, so that it rests on the shop's book and not on its memory of keys.
        if native_id is None or "sent" in effect.progress:
            card = self._agreed(lambda: self._card(effect.card))
            if card is None:
                raise Refused("the shop has no such card", Refusal.NOT_FOUND)
            landed = card.landed(effect.marker)
            if landed:
                return Applied(card.id, card.balance_minor, landed[0].id)
            native_id = card.id
        amount = decimal_from_minor(sign * effect.amount_minor, effect.currency)
        body = {"amount": amount, "currency": effect.currency}
        save(SENT)
        try:
            said = self._client.send("POST", "cards", native_id, "movements", body=body, key=effect.marker)
        except Rejected as error:
            raise _refused(error) from None
        moved = self._agreed(lambda: read_movement(said.get("movement"), effect.currency))
        if (moved.key, moved.amount_minor) != (effect.marker, sign * effect.amount_minor):
            raise InDoubt("the shop answers with another movement than was asked for")
        return Applied(native_id, reference=moved.id)

    def _change(self, effect: Effect, body: Mapping[str, Any]) -> Applied:
        native_id = effect.card.native_id
        if native_id is None:
            card = self._agreed(lambda: self._card(effect.card))
            if card is None:
                raise Refused("the shop has no such card", Refusal.NOT_FOUND)
            native_id = card.id
        try:
            said = self._client.send("PATCH", "cards", native_id, body=body)
        except Rejected as error:
            raise _refused(error) from None
        changed = self._agreed(lambda: read_card(said))
        if any(said.get(name) != value for name, value in body.items()):
            raise InDoubt("the shop answers with a card that is not changed")
        return Applied(changed.id, changed.balance_minor)


def _refused(error: Rejected) -> Refused:
    return Refused(str(error), REASONS.get(error.code, Refusal.OTHER), error.card)


def _day(effect: Effect) -> str | None:
    return None if effect.expires_on is None else effect.expires_on.isoformat()


def _cards(said: Mapping[str, Any]) -> list[ShopCard]:
    cards = said.get("cards")
    if not isinstance(cards, list):
        raise NotBelieved("the list has no cards")
    return [read_card(one, whole=False) for one in cards]


def _changes(said: Mapping[str, Any]) -> tuple[list[Hint], str, bool]:
    """The hints of a page, its cursor, and whether there are more."""
    changes, newest, more = said.get("changes"), said.get("next"), said.get("more")
    if not isinstance(changes, list) or not isinstance(newest, str) or not isinstance(more, bool):
        raise NotBelieved("a page of changes has `changes`, `next` and `more`")
    hints = []
    for one in changes:
        card = one.get("card") if isinstance(one, dict) else None
        if not isinstance(card, str) or not card:
            raise NotBelieved("a change names no card")
        hints.append(Hint(CardRef(card), CHANGES, at=moment_of(one, "at")))
    return hints, newest, more
