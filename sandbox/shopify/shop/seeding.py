"""Cards that were bought before the emulator started, the same for the same seed."""

from __future__ import annotations

import gc
import random
from decimal import Decimal

from sandbox.shopify.shop.model import Customer, Movement, MovementKind
from sandbox.shopify.shop.money import to_minor
from sandbox.shopify.shop.shoppers import CARD_GATEWAY, add_line, add_sale, issue_card, new_order
from sandbox.shopify.shop.state import CODE_ALPHABET, CODE_LENGTH, ShopState

#: How far back the purchases go: orders stay in reach of an app that may only read 60 days.
SEEDED_DAYS = 55
#: Opening amounts in major units.
_AMOUNTS = (250, 500, 750, 1_000, 1_500, 2_000, 5_000)
_FIRST_NAMES = (
    "Anna Bjørn Camilla David Emma Fredrik Grete Håkon Ingrid Jonas Kari Lars Maria "
    "Nils Olav Petra Ragnhild Sigurd Tiril Ulrik Vilde Yngve Zara Øystein Åse"
)
_LAST_NAMES = (
    "Andersen Berg Christensen Dahl Eriksen Fossum Gundersen Hansen Iversen Johansen Kristiansen Larsen "
    "Moen Nilsen Olsen Pedersen Rasmussen Solberg Thorsen Ulvestad Vik Wold Ødegård Åsen"
)
#: Share of cards that were partly spent, and of those spent empty, before the sandbox began.
_SPENT_PARTLY = 0.2
_SPENT_EMPTY = 0.05


def seed_cards(state: ShopState, count: int) -> None:
    """Give the shop `count` cards bought online, oldest first, spread over the last 55 days."""
    if count == 0:
        return
    chance = random.Random(f"cards {state.seed}")
    collecting = gc.isenabled()
    gc.disable()
    try:
        customers = _customers(state, count, chance)
        start = state.opened_at - SEEDED_DAYS * 86_400
        step = SEEDED_DAYS * 86_400 / count
        for position in range(count):
            _bought(state, customers[position % len(customers)], int(start + position * step), chance)
    finally:
        if collecting:
            gc.enable()
            gc.freeze()


def _customers(state: ShopState, count: int, chance: random.Random) -> list[Customer]:
    names = [(first, last) for first in _FIRST_NAMES.split(" ") for last in _LAST_NAMES.split(" ")]
    chance.shuffle(names)
    made = []
    for first, last in names[:count]:
        born = state.opened_at - (SEEDED_DAYS + 1) * 86_400
        customer = Customer(
            number=state.sequence.next(),
            created_at=born,
            updated_at=born,
            first_name=first,
            last_name=last,
            email=f"{first}.{last}@example.com".lower().translate(_ASCII),
        )
        state.customers.load(customer)
        made.append(customer)
    return made


_ASCII = str.maketrans({"æ": "ae", "ø": "o", "å": "a"})


def _bought(state: ShopState, customer: Customer, at: int, chance: random.Random) -> None:
    order = new_order(state, customer, customer.display_name, at)
    minor = to_minor(Decimal(chance.choice(_AMOUNTS)), state.currency)
    line = add_line(state, order, "Gift Card", minor, is_gift_card=True)
    add_sale(state, order, CARD_GATEWAY, minor)
    state.orders.load(order)
    card = issue_card(state, line, _code(state, chance))
    draw = chance.random()
    if draw < _SPENT_PARTLY:
        spent = minor if draw < _SPENT_EMPTY else minor * chance.randrange(1, 10) // 10
        visible = state.behaviour.checkout_in_transactions
        movement = Movement(state.sequence.next(), card, MovementKind.CHECKOUT, -spent, None, at, visible)
        card.movements = [movement]
        card.balance_minor -= spent
        state.movements[movement.number] = movement
    state.codes[card.code] = card
    state.cards.load(card)


def _code(state: ShopState, chance: random.Random) -> str:
    while True:
        code = "".join(chance.choices(CODE_ALPHABET, k=CODE_LENGTH))
        if code not in state.codes:
            return code
