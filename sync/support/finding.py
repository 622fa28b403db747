"""Find a card by what a customer can say: its number, its last four, an order, a receipt, a name.

Numbers are looked up by their keyed hash, orders and receipts as they are printed. Names are compared whole
word by whole word, at most `NAMES_READ_MAX` of them. Only a number that no side knows is said not to exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.api.errors import SideError
from connectors.api.side import Absent, Seen
from mappings.money import format_money
from mappings.serials import Serial, SerialError, lengthened, mask
from sync.ledger import receipt_lines, views
from sync.ledger.views import CardRow
from sync.reconcile.work import Link

#: A whole number has at least so many characters; less is the end of one, or an order.
NUMBER_LENGTH_MIN = 7
LAST_FOUR = 4


@dataclass(frozen=True)
class Hit:
    """A card, and what of the question it answers."""

    card: CardRow
    why: tuple[str, ...]


@dataclass(frozen=True)
class Search:
    """What came of a search. Of a number that no card has, `elsewhere` says what is known of it."""

    hits: tuple[Hit, ...]
    elsewhere: tuple[str, ...] = ()
    #: The sides that could not be asked, so that nobody concludes that there is no card.
    unasked: tuple[str, ...] = ()


def find(link: Link, what: str) -> Search:
    """Every card that the words may mean."""
    text = what.strip()
    engine = link.store.engine
    found: dict[int, list[str]] = {}

    def add(ids: list[int], why: str) -> None:
        for card_id in ids:
            if why not in found.setdefault(card_id, []):
                found[card_id].append(why)

    if text.isdecimal() and len(text) < NUMBER_LENGTH_MIN:
        add(receipt_lines.card_by_id(engine, int(text)), "its id")
    if len(text) == LAST_FOUR and text.isalnum():
        add(receipt_lines.cards_by_last_chars(engine, text.lower()), "ends in it")
    add(receipt_lines.cards_by_order(engine, text), "its order")
    add(receipt_lines.cards_by_receipt(engine, text), "its receipt")
    if any(c.isalpha() for c in text):
        add(receipt_lines.cards_by_name(engine, text.split()), "its buyer's name")
    elsewhere: list[str] = []
    unasked: list[str] = []
    serial = _number(text)
    if serial is not None:
        add(_by_number(link, serial), "its number")
        if not found:
            _ask_sides(link, serial, found, elsewhere, unasked)
    return Search(_hits(link, found), tuple(elsewhere), tuple(unasked))


def _number(text: str) -> Serial | None:
    bare = "".join(c for c in text if c not in " -")
    if len(bare) < NUMBER_LENGTH_MIN:
        return None
    try:
        return Serial(bare)
    except SerialError:
        return None


def _by_number(link: Link, serial: Serial) -> list[int]:
    vault, engine = link.store.vault, link.store.engine
    found = receipt_lines.cards_by_number(engine, vault.index(serial))
    try:
        return found or receipt_lines.cards_by_number(engine, vault.index(lengthened(serial)))
    except SerialError:
        return found


def _ask_sides(
    link: Link, serial: Serial, found: dict[int, list[str]], elsewhere: list[str], unasked: list[str]
) -> None:
    """The number is no card's in the ledger: an online code is known to Shopify alone."""
    waiting = receipt_lines.is_waiting(link.store.engine, link.store.vault.index(serial))
    if waiting is not None:
        elsewhere.append(
            f"giftsync knows the number from {waiting[0]}, but keeps no card of it: {waiting[1]}"
        )
    for name, side in link.sides.items():
        try:
            there = side.lookup(serial)
        except SideError as error:
            unasked.append(f"{name} could not be asked: {error}")
            continue
        if isinstance(there, Seen):
            ids = receipt_lines.cards_by_native_id(link.store.engine, name, there.native_id)
            for card_id in ids:
                found.setdefault(card_id, []).append(f"its number in {name}")
            if not ids:
                shows = format_money(there.balance_minor, there.currency)
                elsewhere.append(
                    f"{name} has {mask(there.last_chars)} with {shows} ({there.status_text}); giftsync "
                    "has not met "
                    "it yet: the next `giftsync sync` reads what is new"
                )
        elif not isinstance(there, Absent):
            unasked.append(f"{name} does not show it: {there.reason}")


def _hits(link: Link, found: dict[int, list[str]]) -> tuple[Hit, ...]:
    hits = []
    for card_id, why in sorted(found.items()):
        card = next(views.list_cards(link.store.engine, card_id=card_id), None)
        if card is not None:
            hits.append(Hit(card, tuple(why)))
    return tuple(hits)
