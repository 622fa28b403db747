"""Resolvers of gift cards: reads (shopify.md §3.1) and writes (§3.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.shopify.graphql.connections import Connection, page_of
from sandbox.shopify.graphql.errors import JsonObject, UserError, access_denied
from sandbox.shopify.http.access import Need
from sandbox.shopify.http.context import Info, RequestContext, Resolvers
from sandbox.shopify.resolvers.lists import list_arguments, search_of
from sandbox.shopify.shop import gift_cards
from sandbox.shopify.shop.gift_cards import Refused
from sandbox.shopify.shop.model import GiftCard, Movement
from sandbox.shopify.shop.money import Money
from sandbox.shopify.shop.state import ShopState

_MASK = "•••• •••• ••••"
_WRITE_CUSTOMERS = "write_customers"
#: Invented: a refusal that nothing about the card explains.
_NO_REASON = UserError(("input",), "The request was not accepted.", None)


def _last_characters(card: GiftCard, _: Info) -> str:
    shown = card.shown.last_characters if card.shown else None
    return card.last_characters if shown is None else shown


def _masked_code(card: GiftCard, info: Info) -> str:
    return f"{_MASK} {_last_characters(card, info)}"


def _balance(card: GiftCard, _: Info) -> Money | JsonObject:
    true = Money(card.balance_minor, card.currency)
    if card.shown is None:
        return true
    amount = true.amount if card.shown.balance is None else card.shown.balance
    return {"amount": amount, "currency_code": card.shown.currency or card.currency}


def _enabled(card: GiftCard, _: Info) -> bool:
    shown = card.shown.enabled if card.shown else None
    return card.deactivated_at is None if shown is None else shown


def _is_redeemable(card: GiftCard, info: Info) -> bool:
    return card.deactivated_at is None and not info.context.state.is_expired(card)


def _transactions(card: GiftCard, _: Info, **arguments: Any) -> Connection[Movement]:
    """Oldest first; there is none for the creation."""
    return page_of([movement for movement in card.movements or () if movement.visible], arguments)


def _gift_card(_: object, info: Info, *, id: str) -> GiftCard | None:
    return gift_cards.find_card(info.context.state, id)


def _gift_cards(_: object, info: Info, **arguments: Any) -> Connection[GiftCard]:
    listing = info.context.cards
    return listing.page(list_arguments(arguments), search_of(listing, info, arguments))


def _gift_cards_count(_: object, info: Info, **arguments: Any) -> JsonObject:
    listing = info.context.cards
    limit = arguments.get("limit")
    count, exact = listing.count(
        search_of(listing, info, arguments), limit if limit is not None else len(listing.items)
    )
    return {"count": count, "precision": "EXACT" if exact else "AT_LEAST"}


def _configuration(_: object, info: Info) -> JsonObject:
    state = info.context.state
    return {
        "issue_limit": Money(state.issue_limit_minor, state.currency),
        "purchase_limit": Money(state.purchase_limit_minor, state.currency),
        "expiration_configuration": None,
    }


def _check_people(context: RequestContext, name: str, wanted: gift_cards.Input) -> None:
    """Naming a customer takes the scope to write customers (shopify.md §2)."""
    names = wanted.get("customerId") is not None or wanted.get("recipientAttributes") is not None
    if names and _WRITE_CUSTOMERS not in context.scopes:
        raise access_denied(name, Need(name, _WRITE_CUSTOMERS).required_access)


def _answer(state: ShopState, key: str, write: Callable[[], object]) -> JsonObject:
    """A payload: the object, or null and the user error."""
    if state.refusing:
        return {key: None, "user_errors": [_NO_REASON]}
    try:
        return {key: write(), "user_errors": []}
    except Refused as refused:
        return {key: None, "user_errors": [refused.error]}


def _create(_: object, info: Info, *, input: gift_cards.Input) -> JsonObject:
    context = info.context
    _check_people(context, info.field_name, input)
    payload = _answer(context.state, "gift_card", lambda: gift_cards.create(context.state, input))
    card = payload["gift_card"]
    # The only place where the whole code is ever told.
    return {**payload, "gift_card_code": None if card is None else card.code}


def _update(_: object, info: Info, *, id: str, input: gift_cards.Input) -> JsonObject:
    context = info.context
    _check_people(context, info.field_name, input)
    return _answer(context.state, "gift_card", lambda: gift_cards.update(context.state, id, input))


def _credit(_: object, info: Info, **arguments: Any) -> JsonObject:
    state = info.context.state
    return _answer(
        state,
        "gift_card_credit_transaction",
        lambda: gift_cards.credit(state, arguments["id"], arguments["creditInput"]),
    )


def _debit(_: object, info: Info, **arguments: Any) -> JsonObject:
    state = info.context.state
    return _answer(
        state,
        "gift_card_debit_transaction",
        lambda: gift_cards.debit(state, arguments["id"], arguments["debitInput"]),
    )


def _deactivate(_: object, info: Info, *, id: str) -> JsonObject:
    state = info.context.state
    return _answer(state, "gift_card", lambda: gift_cards.deactivate(state, id))


def _send_to_customer(_: object, info: Info, *, id: str) -> JsonObject:
    state = info.context.state
    return _answer(state, "gift_card", lambda: gift_cards.send_to_customer(state, id))


def _send_to_recipient(_: object, info: Info, *, id: str) -> JsonObject:
    state = info.context.state
    return _answer(state, "gift_card", lambda: gift_cards.send_to_recipient(state, id))


RESOLVERS: Resolvers = {
    "GiftCard": {
        "balance": _balance,
        "crossCurrencyRedemptionStrategy": lambda card, _: card.strategy,
        "enabled": _enabled,
        "initialValue": lambda card, _: Money(card.initial_minor, card.currency),
        "isRedeemable": _is_redeemable,
        "lastCharacters": _last_characters,
        "maskedCode": _masked_code,
        "transactions": _transactions,
    },
    "GiftCardCreditTransaction": {"giftCard": lambda movement, _: movement.card},
    "GiftCardDebitTransaction": {"giftCard": lambda movement, _: movement.card},
    "GiftCardRecipient": {"recipient": lambda recipient, _: recipient.customer},
    "QueryRoot": {
        "giftCard": _gift_card,
        "giftCards": _gift_cards,
        "giftCardsCount": _gift_cards_count,
        "giftCardConfiguration": _configuration,
    },
    "Mutation": {
        "giftCardCreate": _create,
        "giftCardUpdate": _update,
        "giftCardCredit": _credit,
        "giftCardDebit": _debit,
        "giftCardDeactivate": _deactivate,
        "giftCardSendNotificationToCustomer": _send_to_customer,
        "giftCardSendNotificationToRecipient": _send_to_recipient,
    },
}
