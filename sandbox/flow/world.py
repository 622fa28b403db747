"""Everything one emulated tenant consists of."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.flow.behaviour import FlowBehaviour
from sandbox.flow.cards import CardBook
from sandbox.flow.catalog import (
    EXTENSION_CODES,
    Brand,
    Country,
    Product,
    Store,
    countries_with,
    products_of,
)
from sandbox.flow.errors import not_found
from sandbox.flow.history import History
from sandbox.flow.model import Card
from sandbox.flow.orders import Till
from sandbox.flow.payments import PaymentMethods
from sandbox.flow.receipts import ReceiptJournal
from sandbox.flow.tills import Tills
from sandbox.flow.values import Clock, amount_step, to_ms
from sandbox.flow.webhooks import Dispatcher


@dataclass(frozen=True, slots=True)
class Customer:
    uid: str
    firstname: str
    lastname: str
    email: str
    mobile: str


@dataclass
class World:
    """One tenant: its furniture, its cards and its till."""

    tenant: str
    stores: tuple[Store, ...]
    brands: tuple[Brand, ...]
    behaviour: FlowBehaviour
    clock: Clock
    currency: str
    cards: CardBook
    methods: PaymentMethods
    journal: ReceiptJournal
    till: Till
    tills: Tills
    webhooks: Dispatcher
    products: dict[str, Product]
    countries: tuple[Country, ...]
    home: Country
    customers: dict[str, Customer] = field(default_factory=dict)

    def now_ms(self) -> int:
        return to_ms(self.clock())

    def store(self, uid: str) -> Store:
        """Raises FlowError 404."""
        for store in self.stores:
            if store.uid == uid:
                return store
        raise not_found("store")

    def brand(self, code: str) -> Brand | None:
        return next((brand for brand in self.brands if brand.code == code), None)

    def card_in(self, store: Store, number: str, extension_code: str) -> Card | None:
        """The card as one store sees it: of a brand it takes and of the extension asked for, if any."""
        card = self.cards.find(number)
        if card is None or not self.behaviour.extension_active or not store.takes(card.brand):
            return None
        if extension_code in EXTENSION_CODES and card.brand.extension_code != extension_code:
            return None
        return card


def build_world(
    *,
    tenant: str,
    stores: tuple[Store, ...],
    brands: tuple[Brand, ...],
    behaviour: FlowBehaviour,
    clock: Clock,
    currency: str,
    seed: int,
    cards: int,
    webhooks: Dispatcher,
) -> World:
    """A tenant with `cards` historical cards of the first brand, the same ones for the same seed."""
    book = CardBook(behaviour, seed)
    methods = PaymentMethods(behaviour, stores)
    products = products_of(brands)
    history = History(behaviour, products, methods)
    history.seed(book, stores, brands[0], cards, seed, to_ms(clock()), amount_step(currency))
    journal = ReceiptJournal()
    for at_ms, seq in history.times():
        journal.add(at_ms, seq)
    countries, home = countries_with(currency)
    return World(
        tenant=tenant,
        stores=stores,
        brands=brands,
        behaviour=behaviour,
        clock=clock,
        currency=currency,
        cards=book,
        methods=methods,
        journal=journal,
        till=Till(behaviour, book, history, journal),
        tills=Tills(),
        webhooks=webhooks,
        products=products,
        countries=countries,
        home=home,
    )
