"""Carries effects out, one request each, and finds their markers again.

No gift card mutation takes an idempotency key (shopify.md §3.2). So every money effect writes its marker into
a note, is sent exactly once, and is looked for before it is ever sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Found, NotFound
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideError
from connectors.shopify import operations
from connectors.shopify.answers import ScopeMissing
from connectors.shopify.client import ShopifyClient
from connectors.shopify.customers import CustomerDesk
from connectors.shopify.mapping import (
    create_input,
    expiry_for,
    is_card_id,
    money_input,
    money_of,
)
from connectors.shopify.operations import Operation
from connectors.shopify.reads import CardReader
from connectors.shopify.refusals import UserError, is_inactive_card, refusal_of, user_errors
from connectors.shopify.shape import Json, object_of, optional_object, optional_text, text_of
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError

_NO_RECIPIENT: Final = "has no recipient"


class CardWriter:
    """All changing of cards. Thread-safe; no change is ever repeated here."""

    def __init__(
        self, client: ShopifyClient, reader: CardReader, *, attaching_notifies: bool = False
    ) -> None:
        self._client = client
        self._reader = reader
        self._customers = CustomerDesk(client)
        self._attaching_notifies = attaching_notifies

    def apply(self, effect: Effect) -> Applied:
        """Carry the effect out once. See `Side.apply`."""
        match effect.kind:
            case EffectKind.CREATE:
                return self._create(effect)
            case EffectKind.CREDIT | EffectKind.DEBIT:
                return self._move(effect)
            case EffectKind.SET_STATUS:
                return self._set_status(effect)
            case EffectKind.SET_EXPIRY:
                return self._set_expiry(effect)
            case EffectKind.NOTIFY:
                return self._notify(effect)

    def find(self, effect: Effect) -> FindResult:
        """Look for the effect's marker. See `Side.find`."""
        match effect.kind:
            case EffectKind.CREATE:
                return self._find_create(effect)
            case EffectKind.CREDIT | EffectKind.DEBIT:
                return self._find_move(effect)
            case EffectKind.SET_STATUS | EffectKind.SET_EXPIRY:
                return self._find_state(effect)
            case EffectKind.NOTIFY:
                return CannotTell("Shopify does not list the notifications that it sent")

    # Creates.

    def _create(self, effect: Effect) -> Applied:
        """Make the card. A retry is safe: the same code is refused as taken (shopify.md §3.2)."""
        made = create_input(effect, self._client.version)
        return self._created(effect, self._client.change(operations.CREATE_CARD, {"input": made}))

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        """See `PackCreator.create_pack`."""
        outcomes: list[Applied | SideError] = []
        inputs: dict[int, dict[str, object]] = {}
        for number, effect in enumerate(effects):
            outcomes.append(InDoubt("Shopify's answer says nothing of this card"))
            try:
                inputs[number] = create_input(effect, self._client.version)
            except Refused as error:
                outcomes[number] = error
        if not inputs:
            return outcomes
        aliases = [f"c{n}" for n in range(len(inputs))]
        try:
            payloads: Sequence[Json | SideError] = self._client.change_all(
                operations.create_pack(len(inputs)),
                dict(zip(aliases, inputs.values(), strict=True)),
                aliases,
            )
        except SideError as error:
            payloads = [error] * len(inputs)
        for number, payload in zip(inputs, payloads, strict=True):
            try:
                outcomes[number] = (
                    payload if isinstance(payload, SideError) else self._created(effects[number], payload)
                )
            except SideError as error:
                outcomes[number] = error
        return outcomes

    def _created(self, effect: Effect, payload: Json) -> Applied:
        errors = user_errors(payload)
        card = optional_object(payload, "giftCard")
        if errors:
            error = self._refused(errors, card)
            if isinstance(error, Refused) and error.reason is Refusal.TAKEN:
                return self._taken(effect)
            raise error
        if card is None:
            raise InDoubt("Shopify confirmed no card")
        native_id = text_of(card, "id")
        if not is_card_id(native_id):
            raise InDoubt("Shopify confirmed something that is no gift card")
        return Applied(native_id, _balance(card, effect.currency))

    def _taken(self, effect: Effect) -> Applied:
        """Tell our own earlier attempt from another card with that serial."""
        serial = effect.card.serial
        card = self._reader.lookup(serial) if serial is not None else None
        if not isinstance(card, Seen):
            # The search lags, so the card that has the serial may be the one an earlier attempt made.
            raise InDoubt("the serial is taken in Shopify, and its search does not show by which card yet")
        if card.created_by == effect.marker:
            return Applied(card.native_id, card.balance_minor)
        raise Refused("another card in Shopify has that serial", Refusal.TAKEN, card.native_id)

    def _find_create(self, effect: Effect) -> FindResult:
        """Search the whole code.

        NotFound is safe even while the search lags: sending the create again is refused as taken, and `apply`
        then tells whose card it is.
        """
        if effect.card.serial is None:
            return NotFound()
        card = self._reader.lookup(effect.card.serial)
        if isinstance(card, Unreadable):
            return CannotTell(card.reason)
        if isinstance(card, Seen) and card.created_by == effect.marker:
            return Found(1, card.native_id)
        return NotFound()

    # Credits and debits.

    def _move(self, effect: Effect) -> Applied:
        """Move money once, with the marker as the transaction's whole note."""
        if effect.amount_minor <= 0:
            raise Refused("Shopify moves only amounts above zero")
        native_id = self._native_id(effect.card)
        operation, name = _MOVES[effect.kind]
        amount_name = "creditAmount" if effect.kind is EffectKind.CREDIT else "debitAmount"
        money = {amount_name: money_input(effect), "note": effect.marker}
        payload = self._client.change(operation, {"id": native_id, "input": money})
        errors = user_errors(payload)
        moved = optional_object(payload, name)
        if errors:
            raise self._refused_move(errors, moved, native_id)
        if moved is None:
            raise InDoubt("Shopify confirmed no transaction")
        self._check_move(effect, moved)
        card = object_of(moved, "giftCard")
        _check_card(card, native_id)
        return Applied(native_id, _balance(card, effect.currency), text_of(moved, "id"))

    def _check_move(self, effect: Effect, moved: Json) -> None:
        """What Shopify confirms must be what was asked for."""
        signed = effect.amount_minor if effect.kind is EffectKind.CREDIT else -effect.amount_minor
        try:
            confirmed = money_of(moved, "amount")
        except MoneyError:
            raise InDoubt("Shopify confirmed an amount that cannot be read") from None
        if confirmed != (signed, effect.currency):
            raise InDoubt("Shopify confirmed another amount than was asked for")
        if optional_text(moved, "note") != effect.marker:
            raise InDoubt("Shopify did not keep the marker that giftsync wrote")

    def _refused_move(self, errors: list[UserError], moved: Json | None, native_id: str) -> SideError:
        error = self._refused(errors, moved)
        if not isinstance(error, Refused) or not is_inactive_card(errors[0]):
            return error
        # Expired and deactivated have one code; the card tells which (shopify.md §4).
        try:
            card = self._reader.card(native_id)
        except SideError:
            # The refusal is certain; only its reason stays vague.
            return error
        if isinstance(card, Seen) and card.status is CardStatus.ACTIVE:
            return Refused("the card has expired in Shopify", Refusal.EXPIRED)
        return Refused("the card is suspended or deactivated in Shopify", Refusal.NOT_ACTIVE)

    def _find_move(self, effect: Effect) -> FindResult:
        """Count the card's transactions whose whole note is the marker."""
        native_id = effect.card.native_id or self._id_by_serial(effect.card)
        if native_id is None:
            return CannotTell("Shopify's search does not show the card")
        try:
            card = self._reader.with_entries(native_id)
        except ScopeMissing as error:
            # Waiting does not help: without the scope the marker cannot be read, and a person must decide.
            return CannotTell(str(error))
        if isinstance(card, Absent):
            return NotFound()
        if isinstance(card, Unreadable) or card.entries is None:
            return CannotTell("the card's transactions cannot be read")
        landed = [entry for entry in card.entries if entry.marker == effect.marker]
        return Found(len(landed), native_id, landed[0].native_id) if landed else NotFound()

    # Status, expiry, notification.

    def _set_status(self, effect: Effect) -> Applied:
        native_id = self._native_id(effect.card)
        if effect.status is CardStatus.CLOSED:
            # A second deactivation succeeds and changes nothing (shopify.md §3.2).
            return self._change_card(operations.DEACTIVATE_CARD, {"id": native_id}, native_id)
        if effect.status is CardStatus.SUSPENDED or effect.status is CardStatus.ACTIVE:
            return self._update_expiry(native_id, effect, effect.status)
        raise Refused("Shopify has no such status", Refusal.OTHER)

    def _set_expiry(self, effect: Effect) -> Applied:
        """Set the expiry date of a card that is not suspended.

        A suspension is an expiry date itself, so setting another one would lift it.
        """
        native_id = self._native_id(effect.card)
        card = self._reader.card(native_id)
        if isinstance(card, Unreadable):
            raise InDoubt(card.reason)
        if isinstance(card, Seen) and card.status is CardStatus.SUSPENDED:
            raise Refused("the card is suspended in Shopify: lift that first", Refusal.NOT_ACTIVE)
        return self._update_expiry(native_id, effect, CardStatus.ACTIVE)

    def _update_expiry(self, native_id: str, effect: Effect, status: CardStatus) -> Applied:
        expires_on = expiry_for(status, effect.expires_on)
        # An explicit null clears the date; leaving the key out would keep it (shopify.md §3.2).
        wanted = {"expiresOn": expires_on.isoformat() if expires_on else None}
        return self._change_card(operations.UPDATE_CARD, {"id": native_id, "input": wanted}, native_id)

    def _change_card(self, operation: Operation, variables: dict[str, Any], native_id: str) -> Applied:
        payload = self._client.change(operation, variables)
        errors = user_errors(payload)
        card = optional_object(payload, "giftCard")
        if errors:
            raise self._refused(errors, card)
        if card is None:
            raise InDoubt("Shopify confirmed no card")
        _check_card(card, native_id)
        return Applied(native_id)

    def _notify(self, effect: Effect) -> Applied:
        """Ask Shopify to tell a new card's buyer of it; without one, its recipient or else its customer."""
        native_id = self._native_id(effect.card)
        if effect.contact is not None:
            return self._notify_buyer(native_id, effect.contact)
        payload = self._client.change(operations.NOTIFY_RECIPIENT, {"id": native_id})
        errors = user_errors(payload)
        if not any(not error.field and _NO_RECIPIENT in error.message for error in errors):
            if errors:
                raise self._refused(errors, optional_object(payload, "giftCard"))
            return Applied(native_id)
        return self._change_card(operations.NOTIFY_CUSTOMER, {"id": native_id}, native_id)

    def _notify_buyer(self, native_id: str, contact: Contact) -> Applied:
        if self._attaching_notifies:
            # To ask for a message as well would be to send two.
            self._customers.attach(native_id, contact)
            return Applied(native_id)
        try:
            self._customers.attach(native_id, contact)
        except InDoubt:
            raise NotSent("the buyer may not be attached to the card yet, and was not told of it") from None
        return self._change_card(operations.NOTIFY_CUSTOMER, {"id": native_id}, native_id)

    def _find_state(self, effect: Effect) -> FindResult:
        """Status and expiry carry no marker; the card either shows the wanted state or does not."""
        native_id = effect.card.native_id or self._id_by_serial(effect.card)
        if native_id is None:
            return CannotTell("Shopify's search does not show the card")
        card = self._reader.card(native_id)
        if isinstance(card, Unreadable):
            return CannotTell(card.reason)
        if isinstance(card, Absent) or not _shows(card, effect):
            return NotFound()
        return Found(1, native_id)

    # What all share.

    def _native_id(self, card: CardRef) -> str:
        """The card's id; raises Refused when Shopify shows no such card."""
        if card.native_id is not None:
            if not is_card_id(card.native_id):
                raise Refused("the id is not that of a Shopify gift card", Refusal.NOT_FOUND)
            return card.native_id
        native_id = self._id_by_serial(card)
        if native_id is None:
            raise Refused("Shopify's search does not show the card", Refusal.NOT_FOUND)
        return native_id

    def _id_by_serial(self, card: CardRef) -> str | None:
        observation = self._reader.lookup(card.serial) if card.serial is not None else None
        return observation.native_id if isinstance(observation, Seen) else None

    def _refused(self, errors: list[UserError], made: Json | None) -> SideError:
        """On any error the payload's object is null (shopify.md §4); an object beside errors is in doubt."""
        if made is not None:
            return InDoubt("Shopify answered with both a change and errors")
        found = [refusal_of(error) for error in errors]
        return next((error for error in found if isinstance(error, InDoubt)), found[0])


_MOVES: Final = {
    EffectKind.CREDIT: (operations.CREDIT_CARD, "giftCardCreditTransaction"),
    EffectKind.DEBIT: (operations.DEBIT_CARD, "giftCardDebitTransaction"),
}


def _check_card(card: Json, native_id: str) -> None:
    """Raises InDoubt when a change is confirmed of another card than it was meant for."""
    if text_of(card, "id") != native_id:
        raise InDoubt("Shopify confirmed a change of another card")


def _balance(card: Json, currency: str) -> int | None:
    """The balance right after, as evidence; None when it cannot be read, or is in another currency."""
    try:
        minor, shown_in = money_of(card, "balance")
    except (InDoubt, MoneyError):
        return None
    return minor if shown_in == currency else None


def _shows(card: Seen, effect: Effect) -> bool:
    if effect.kind is EffectKind.SET_STATUS and effect.status is not CardStatus.ACTIVE:
        return card.status is effect.status
    return card.status is CardStatus.ACTIVE and card.expires_on == effect.expires_on
