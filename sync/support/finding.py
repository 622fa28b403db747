"""Find a card by what a customer can say: its number or last four, an order, a receipt, a name, an address.

Numbers and mail addresses are looked up by their keyed hash, orders and receipts as they are printed. Names
are compared whole word by whole word, at most `NAMES_OPENED_MAX` of them. Only a number that no side knows is
said not to exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.api.card import Absent, Seen
from connectors.api.errors import SideError
from mappings.sentences import Money, say
from mappings.serials import Serial, SerialError, lengthened, mask
from sync.ledger import views
from sync.ledger.support import receipt_lines
from sync.ledger.support.receipt_lines import NAMES_OPENED_MAX
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
    #: How many cards there are in all; `hits` may be a page of them.
    count: int = 0
    #: Whether there are cards after that page.
    more: bool = False
    elsewhere: tuple[str, ...] = ()
    #: The sides that could not be asked, so that nobody concludes that there is no card.
    unasked: tuple[str, ...] = ()


def find(link: Link, what: str, after_id: int = 0, limit: int | None = None) -> Search:
    """Every card that the words may mean, by id; or a page of them."""
    text = what.strip()
    engine = link.store.engine
    found: dict[int, list[str]] = {}

    def add(ids: list[int], why: str) -> None:
        for card_id in ids:
            if why not in found.setdefault(card_id, []):
                found[card_id].append(why)

    if text.isdecimal() and len(text) < NUMBER_LENGTH_MIN:
        add(receipt_lines.card_by_id(engine, int(text)), say("its id"))
    if len(text) == LAST_FOUR and text.isalnum():
        add(receipt_lines.cards_by_last_chars(engine, text.lower()), say("ends in it"))
    add(receipt_lines.cards_by_order(engine, text), say("its order"))
    add(receipt_lines.cards_by_receipt(engine, text), say("its receipt"))
    elsewhere: list[str] = []
    if "@" in text:
        add(receipt_lines.cards_by_mail(engine, link.store.vault, text), say("its buyer's mail address"))
    elif any(c.isalpha() for c in text):
        named = receipt_lines.cards_by_name(engine, link.store.vault, text)
        add(named.card_ids, say("its buyer's name"))
        if named.is_common:
            elsewhere.append(
                say(
                    "so many buyers have this name that only the newest {count} cards were looked at; add "
                    "another of their names, or look for the order",
                    count=NAMES_OPENED_MAX,
                )
            )
    unasked: list[str] = []
    serial = number_of(text)
    if serial is not None:
        add(_by_number(link, serial), say("its number"))
        if not found:
            _ask_sides(link, serial, found, elsewhere, unasked)
    ids = sorted(card_id for card_id in found if card_id > after_id)
    hits = _hits(link, ids[:limit], found)
    return Search(hits, len(found), len(hits) < len(ids), tuple(elsewhere), tuple(unasked))


def number_of(text: str) -> Serial | None:
    """The whole number that the text may be."""
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
    """The number is no card's in the ledger: a code that its side hides is known there alone."""
    waiting = receipt_lines.is_waiting(link.store.engine, link.store.vault.index(serial))
    if waiting is not None:
        elsewhere.append(
            say(
                "giftsync knows the number from {side}, but keeps no card of it: {why}",
                side=waiting[0],
                why=waiting[1],
            )
        )
    for name, side in link.sides.items():
        try:
            there = side.lookup(serial)
        except SideError as error:
            unasked.append(say("{side} could not be asked: {why}", side=name, why=str(error)))
            continue
        if isinstance(there, Seen):
            ids = receipt_lines.cards_by_native_id(link.store.engine, name, there.native_id)
            for card_id in ids:
                found.setdefault(card_id, []).append(say("its number in {side}", side=name))
            if not ids:
                elsewhere.append(
                    say(
                        "{side} has {card} with {money} ({status}); giftsync has not met it yet: the next "
                        "`giftsync sync` reads what is new",
                        side=name,
                        card=mask(there.last_chars),
                        money=Money(there.balance_minor, there.currency),
                        status=there.status_text,
                    )
                )
        elif not isinstance(there, Absent):
            unasked.append(say("{side} does not show it: {why}", side=name, why=there.reason))


def _hits(link: Link, ids: list[int], found: Mapping[int, Sequence[str]]) -> tuple[Hit, ...]:
    if not ids:
        return ()
    return tuple(Hit(card, tuple(found[card.id])) for card in views.list_cards(link.store.engine, ids=ids))
