"""Reads cards and their transactions, by id and by whole code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.api.card import Absent, CardRef, Entry, Observation, Seen, Unreadable
from connectors.shopify import operations
from connectors.shopify.bucket import Priority
from connectors.shopify.client import ShopifyClient
from connectors.shopify.mapping import entry_of, is_card_id, is_hit, seen_of
from connectors.shopify.shape import (
    Json,
    Misshapen,
    as_object,
    list_of,
    next_page,
    object_of,
    objects_of,
    optional_object,
    text_of,
)
from mappings.money import MoneyError
from mappings.serials import Serial

#: Shopify's rule for codes (shopify.md §3.2). A search for less than a whole code finds other cards.
CODE_LENGTH_MIN: Final = 8
CODE_LENGTH_MAX: Final = 20
#: A search for a whole code should find one card; more than this is no search for a code.
HITS_MAX: Final = 10
#: It is asked for so few first: that costs half the points.
HITS_EXPECTED: Final = 2
#: How many cards are first read together with their entries: within 1,000 points under any cost model. While
#: such a read costs no more than POINTS_TO_DOUBLE, the next may have twice as many: twice the points at most.
CARDS_WITH_ENTRIES: Final = 20
POINTS_TO_DOUBLE: Final = 250
FIRST_ENTRIES: Final = 10
ENTRIES_PER_PAGE: Final = 100
ENTRY_PAGES_MAX: Final = 100


class CardReader:
    """All reading of cards. Thread-safe; each read is repeated a few times before it fails."""

    def __init__(self, client: ShopifyClient, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._with_entries = CARDS_WITH_ENTRIES

    def observe(
        self, cards: Sequence[CardRef], *, entries: bool, priority: Priority = Priority.CARD
    ) -> Iterator[Observation]:
        """What Shopify shows for each card, in order. See `Side.observe`."""
        start = 0
        while start < len(cards):
            size = self._with_entries if entries else operations.PAGE_MAX
            batch = cards[start : start + size]
            start += size
            ids = {card.native_id for card in batch if card.native_id is not None}
            seen = self._by_id(sorted(filter(is_card_id, ids)), entries, priority)
            for card in batch:
                yield self._observation(card, seen, entries)

    def lookup(self, serial: Serial, *, entries: bool = False) -> Observation:
        """The card whose whole code is the serial.

        The search matches codes whole or by their last four, so the serial must have the length of a whole
        code, and a hit must end like it. Search lags writes by seconds, up to a minute (shopify.md §3.1):
        Absent is no proof that a card was not made just now.
        """
        code, at = serial.reveal(), self._clock()
        if not CODE_LENGTH_MIN <= len(code) <= CODE_LENGTH_MAX:
            return Absent(at)
        connection = self._search(code, HITS_EXPECTED)
        if next_page_exists(connection):
            connection = self._search(code, HITS_MAX)
        # One that is listed twice is one card.
        found = {
            text_of(node, "id"): node for node in objects_of(connection, "nodes") if is_hit(node, serial)
        }
        hits = list(found.values())
        if not hits:
            return Absent(at)
        if len(hits) > 1 or next_page_exists(connection):
            return Unreadable("Shopify's search shows several cards for one serial", at)
        observation = self._parse(hits[0], at, None)
        if entries and isinstance(observation, Seen):
            observation = self.with_entries(observation.native_id)
        return replace(observation, serial=serial) if isinstance(observation, Seen) else observation

    def _search(self, code: str, first: int) -> Json:
        return object_of(
            self._client.read(operations.SEARCH_CODE, {"first": first, "query": code}), "giftCards"
        )

    def with_entries(self, native_id: str) -> Observation:
        """One card with all of its transactions, oldest first.

        The list only grows, and the balance is that of the last page, so both are of the same moment.
        """
        return self._entries_from(native_id, None, [])

    def card(self, native_id: str) -> Observation:
        """One card without its transactions."""
        if not is_card_id(native_id):
            return Unreadable("the id is not that of a Shopify gift card", self._clock())
        return self._by_id([native_id], False)[native_id]

    def _observation(self, card: CardRef, seen: Mapping[str, Observation], entries: bool) -> Observation:
        if card.native_id is not None:
            wrong = Unreadable("the id is not that of a Shopify gift card", self._clock())
            return seen.get(card.native_id, wrong)
        if card.serial is not None:
            return self.lookup(card.serial, entries=entries)
        return Unreadable("neither an id nor a serial was given", self._clock())

    def _by_id(
        self, ids: Sequence[str], entries: bool, priority: Priority = Priority.CARD
    ) -> dict[str, Observation]:
        """Observations of well-formed ids; such reads see writes at once (shopify.md §3.1)."""
        if not ids:
            return {}
        at = self._clock()
        operation = operations.READ_CARDS_WITH_ENTRIES if entries else operations.READ_CARDS
        variables: dict[str, object] = {"ids": list(ids)}
        if entries:
            variables |= {"first": FIRST_ENTRIES, "after": None}
        nodes = list_of(self._client.read(operation, variables, priority), "nodes")
        if len(nodes) != len(ids):
            raise Misshapen("Shopify answered with another number of cards than was asked for")
        if entries and len(ids) >= self._with_entries:
            self._read_more_together(len(ids))
        return {
            native_id: self._node(native_id, node, at, entries)
            for native_id, node in zip(ids, nodes, strict=True)
        }

    def _read_more_together(self, size: int) -> None:
        """Double what is read together, up to a page, if Shopify says that so many cost little enough."""
        points = self._client.points_of(operations.READ_CARDS_WITH_ENTRIES)
        if points is not None and points <= POINTS_TO_DOUBLE:
            self._with_entries = min(2 * size, operations.PAGE_MAX)

    def _node(self, native_id: str, node: object, at: datetime, entries: bool) -> Observation:
        if node is None:
            return Absent(at)
        try:
            card = as_object(node, "nodes")
            # Trusting the order of the answer could give one card another card's money.
            if card.get("__typename") != "GiftCard" or card.get("id") != native_id:
                return Unreadable("Shopify answered with another card than was asked for", at)
            if not entries:
                return self._parse(card, at, None)
            rows, cursor = _entries_of(card)
        except (Misshapen, MoneyError) as error:
            return Unreadable(str(error), at)
        if cursor is None:
            return self._parse(card, at, tuple(rows))
        return self._entries_from(native_id, cursor, rows)

    def _entries_from(self, native_id: str, cursor: str | None, rows: list[Entry]) -> Observation:
        for _ in range(ENTRY_PAGES_MAX):
            at = self._clock()
            variables = {"id": native_id, "first": ENTRIES_PER_PAGE, "after": cursor}
            card = optional_object(
                self._client.read(operations.READ_CARD_WITH_ENTRIES, variables), "giftCard"
            )
            if card is None:
                return Absent(at)
            try:
                more, cursor = _entries_of(card)
            except (Misshapen, MoneyError) as error:
                return Unreadable(str(error), at)
            rows = [*rows, *more]
            if cursor is None:
                return self._parse(card, at, tuple(rows))
        return Unreadable("the card has more transactions than giftsync reads", self._clock())

    def _parse(self, node: Json, at: datetime, entries: tuple[Entry, ...] | None) -> Observation:
        try:
            return seen_of(node, at, None if entries is None else _each_once(entries))
        except (Misshapen, MoneyError) as error:
            return Unreadable(str(error), at)


def next_page_exists(connection: Json) -> bool:
    return bool(object_of(connection, "pageInfo").get("hasNextPage"))


def _each_once(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Transactions as they are, each once: one that is listed twice would count as two that landed.

    Raises Misshapen when one of them is told in two ways.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        if found.setdefault(entry.native_id, entry) != entry:
            raise Misshapen("Shopify shows one transaction in two ways")
    return tuple(found.values())


def _entries_of(card: Json) -> tuple[list[Entry], str | None]:
    """A page of transactions and the cursor of the next one."""
    connection = object_of(card, "transactions")
    return [entry_of(row) for row in objects_of(connection, "nodes")], next_page(connection)
