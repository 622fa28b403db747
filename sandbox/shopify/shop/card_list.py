"""How gift cards are searched and sorted (shopify.md §3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sandbox.shopify.graphql.lists import (
    Listing,
    SortKey,
    amounts,
    day_start,
    milliseconds,
    numbers_by_instant,
)
from sandbox.shopify.graphql.search import (
    FieldRule,
    InvalidValue,
    Predicate,
    Search,
    Term,
    compares,
    compile_search,
    decimal_rule,
    instant_rule,
    number_rule,
    word_rule,
)
from sandbox.shopify.shop.model import CardSource, GiftCard
from sandbox.shopify.shop.money import to_decimal
from sandbox.shopify.shop.state import ShopState

_LAST_CHARACTERS = 4


def card_listing(state: ShopState) -> Listing[GiftCard]:
    """The list behind `giftCards` and `giftCardsCount`."""
    fields = _fields(state)

    def compile_query(query: str) -> Search[GiftCard]:
        return compile_search(query, fields, _bare_text)

    return Listing(
        items=state.cards,
        sort_keys=_sort_keys(state),
        compile=compile_query,
        narrow=lambda search: _narrow(state, search),
    )


def _sort_keys(state: ShopState) -> dict[str, SortKey[GiftCard] | None]:
    by_updated: SortKey[GiftCard] = milliseconds(lambda card: card.updated_at, indexed=True)
    return {
        "AMOUNT_SPENT": amounts(lambda card: card.initial_minor - card.balance_minor, state.currency),
        "BALANCE": amounts(lambda card: card.balance_minor, state.currency),
        "CODE": SortKey(lambda card: card.code),
        "CREATED_AT": milliseconds(lambda card: card.created_at, indexed=True),
        "CUSTOMER_NAME": SortKey(lambda card: card.customer.display_name if card.customer else ""),
        "DISABLED_AT": milliseconds(lambda card: card.deactivated_at),
        "EXPIRES_ON": milliseconds(lambda card: day_start(card.expires_on)),
        "ID": None,
        "INITIAL_VALUE": amounts(lambda card: card.initial_minor, state.currency),
        "UPDATED_AT": by_updated if state.behaviour.updated_at_sort_works else None,
    }


def _fields(state: ShopState) -> dict[str, FieldRule[GiftCard]]:
    """Not among them, so ignored as in real searches: updated_at, enabled, active, last_characters."""
    return {
        "id": number_rule(lambda card: card.number),
        "status": word_rule(
            {
                "enabled": lambda card: card.deactivated_at is None,
                "disabled": lambda card: card.deactivated_at is not None,
                "expired": state.is_expired,
                "expiring": lambda card: _is_expiring(state, card),
            }
        ),
        "balance_status": word_rule(
            {
                "full": lambda card: card.balance_minor == card.initial_minor,
                "partial": lambda card: 0 < card.balance_minor < card.initial_minor,
                "empty": lambda card: card.balance_minor == 0,
                "full_or_partial": lambda card: card.balance_minor > 0,
            }
        ),
        "created_at": instant_rule(lambda card: card.created_at, state.timezone),
        "expires_on": _expires_on,
        "customer_id": number_rule(lambda card: card.customer.number if card.customer else None),
        "recipient_id": number_rule(
            lambda card: card.recipient_attributes.customer.number if card.recipient_attributes else None
        ),
        "source": word_rule({source.value: _from_source(source) for source in CardSource}),
        "initial_value": decimal_rule(lambda card: to_decimal(card.initial_minor, card.currency)),
    }


def _from_source(source: CardSource) -> Predicate[GiftCard]:
    return lambda card: card.source is source


def _is_expiring(state: ShopState, card: GiftCard) -> bool:
    if card.expires_on is None or state.is_expired(card):
        return False
    return (card.expires_on - state.today()).days <= state.behaviour.expiring_within_days


def _expires_on(op: str, value: str) -> Predicate[GiftCard]:
    try:
        wanted = date.fromisoformat(value[:10])
    except ValueError:
        raise InvalidValue(value) from None
    return compares(op, wanted, lambda card: card.expires_on)


def _bare_text(text: str) -> Predicate[GiftCard]:
    """The whole code, or the beginning of its last four characters; the middle is not searchable."""
    wanted = _normalise(text)
    if not wanted:
        return lambda card: True
    if len(wanted) <= _LAST_CHARACTERS:
        return lambda card: card.last_characters.startswith(wanted)
    return lambda card: card.code == wanted


def _normalise(text: str) -> str:
    return text.lower().replace("-", "").replace(" ", "")


def _narrow(state: ShopState, search: Search[GiftCard]) -> Iterable[int] | None:
    """Cards that can match, from the term that leaves the fewest."""
    best: list[int] | None = None
    for term in search.required_terms():
        numbers = _numbers_for(state, term)
        if numbers is not None and (best is None or len(numbers) < len(best)):
            best = numbers
    return best


def _numbers_for(state: ShopState, term: Term) -> list[int] | None:
    if term.field is None:
        return _numbers_for_text(state, _normalise(term.value))
    if term.field == "id" and term.op == "=" and term.value.isdigit():
        return [int(term.value)]
    if term.field == "created_at":
        return numbers_by_instant(
            state.cards, "CREATED_AT", lambda card: card.created_at, term, state.timezone
        )
    return None


def _numbers_for_text(state: ShopState, wanted: str) -> list[int] | None:
    if not wanted:
        return None
    if len(wanted) > _LAST_CHARACTERS:
        card = state.codes.get(wanted)
        return [] if card is None else [card.number]
    index = state.cards.index("last_characters", lambda card: card.last_characters)
    return index.between(wanted, wanted + "\U0010ffff")
