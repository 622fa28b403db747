"""Walking Shopify's lists: nothing is skipped, and every walk ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.api.feed import Hint, HintPage
from connectors.shopify.bucket import Priority
from connectors.shopify.feeds import (
    CARDS_PER_PAGE,
    LONG_OVERLAP,
    LONG_WALKS,
    ROWS_PER_WALK_MAX,
    UPDATES_PER_LATER_PAGE,
    UPDATES_PER_PAGE,
    WIDE_WALKS,
    FeedReader,
    card_hint,
    payment_hints,
)
from connectors.shopify.operations import Operation

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Body = dict[str, Any]


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def card(number: int, at: datetime = NOW, **changes: Any) -> Body:
    return {
        "id": f"gid://shopify/GiftCard/{number}",
        "createdAt": stamp(at),
        "updatedAt": stamp(at),
        "lastCharacters": f"{number:04d}"[-4:],
        "note": None,
        "order": None,
        **changes,
    }


@dataclass
class Shop:
    """Rows in the order that the operation asks for; a cursor is the position after a row."""

    rows: list[Body] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    priorities: list[Priority] = field(default_factory=list)

    def read(
        self, operation: Operation, variables: Mapping[str, Any], priority: Priority = Priority.CARD
    ) -> Body:
        self.asked.append(dict(variables))
        self.priorities.append(priority)
        start, first = int(variables["after"] or 0), variables["first"]
        rows = self.rows[start : start + first]
        end = start + len(rows)
        info = {"hasNextPage": end < len(self.rows), "endCursor": str(end) if rows else None}
        return {operation.root: {"nodes": rows, "pageInfo": info}}


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def now() -> list[datetime]:
    """What the clock says."""
    return [NOW]


@pytest.fixture
def feeds(shop: Shop, now: list[datetime]) -> FeedReader:
    return FeedReader(shop, lambda: now[0], timedelta(days=1))  # type: ignore[arg-type]


def ids(pages: list[HintPage]) -> list[str]:
    return [str(hint.card.native_id).rpartition("/")[2] for page in pages for hint in page.hints]


# New cards.


def test_new_cards_begin_at_the_beginning_and_go_on(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = [card(number) for number in range(CARDS_PER_PAGE + 1)]

    pages = list(feeds.hints("new_cards", None))
    assert [len(page.hints) for page in pages] == [CARDS_PER_PAGE, 1]
    # A backlog of old cards keeps no redemption waiting.
    assert shop.priorities == [Priority.CARD, Priority.SWEEP]

    shop.rows.append(card(777))
    assert ids(list(feeds.hints("new_cards", pages[-1].cursor))) == ["777"]


def test_an_empty_shop_has_one_empty_page_and_keeps_its_cursor(shop: Shop, feeds: FeedReader) -> None:
    (page,) = feeds.hints("new_cards", None)
    assert page.hints == []

    shop.rows = [card(1)]
    (page,) = feeds.hints("new_cards", page.cursor)
    (again,) = feeds.hints("new_cards", page.cursor)

    assert again.hints == []
    assert again.cursor == page.cursor


def test_every_page_can_be_the_last_before_a_crash(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = [card(number) for number in range(3 * CARDS_PER_PAGE)]
    walk = feeds.hints("new_cards", None)
    first = next(walk)

    rest = list(feeds.hints("new_cards", first.cursor))

    assert ids([first, *rest]) == [str(number) for number in range(3 * CARDS_PER_PAGE)]


def test_a_long_walk_starts_anew_from_a_date(shop: Shop, feeds: FeedReader) -> None:
    last = NOW - timedelta(days=10)
    shop.rows = [card(number, last) for number in range(CARDS_PER_PAGE + 1)]
    cursor = json.dumps({"after": None, "since": None, "rows": ROWS_PER_WALK_MAX - 1})

    page = next(feeds.hints("new_cards", cursor))
    next(feeds.hints("new_cards", page.cursor))

    assert shop.asked[-1] == {
        "first": CARDS_PER_PAGE,
        "after": None,
        "query": "created_at:>=2026-11-12",
    }


def test_a_walk_that_starts_anew_for_ever_does_not(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = [card(number) for number in range(2 * CARDS_PER_PAGE)]
    stored = {"after": None, "since": "2026-11-22", "rows": ROWS_PER_WALK_MAX}

    assert len(list(feeds.hints("new_cards", json.dumps(stored)))) == 2


@pytest.mark.parametrize("cursor", ["", "{", "[]", '{"other": 1}', '{"rows": "x"}'])
def test_a_damaged_cursor_starts_over(shop: Shop, feeds: FeedReader, cursor: str) -> None:
    shop.rows = [card(1)]

    assert ids(list(feeds.hints("new_cards", cursor))) == ["1"]


def test_a_card_that_was_bought_says_so() -> None:
    order = {"id": "gid://shopify/Order/1007", "name": "#1007", "shippingAddress": {"name": "Kari Nordmann"}}

    hint = card_hint(card(1, order=order, note=None), "new_cards")

    assert hint.sold_here
    assert hint.details == {
        "order": "#1007",
        "order_id": "gid://shopify/Order/1007",
        "bought_at": stamp(NOW),
        "shipping_name": "Kari Nordmann",
    }
    assert (hint.last_chars, hint.at, hint.created_by) == ("0001", NOW, None)


def test_a_card_that_we_made_says_so() -> None:
    hint = card_hint(card(1, note="gs-abc1 from the till"), "new_cards")

    assert (hint.sold_here, hint.created_by, hint.details) == (False, "gs-abc1", {})


# Updates.


def newest_first(count: int, newest: datetime = NOW, step: timedelta = timedelta(seconds=1)) -> list[Body]:
    return [card(number, newest - number * step) for number in range(count)]


def test_the_first_walk_goes_back_as_far_as_configured(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = newest_first(40, step=timedelta(hours=1))

    assert ids(list(feeds.hints("updated_cards", None))) == [str(hours) for hours in range(25)]


def test_the_next_walk_ends_below_the_watermark(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = newest_first(200, step=timedelta(minutes=1))
    *_, last = feeds.hints("updated_cards", None)
    shop.asked.clear()
    shop.rows.insert(0, card(999, NOW + timedelta(minutes=1)))

    pages = list(feeds.hints("updated_cards", last.cursor))

    # The overlap shows the newest one of the last walk once more.
    assert ids(pages) == ["999", "0"]
    assert len(shop.asked) == 1


def test_given_what_became_visible_late_then_a_long_walk_meets_it(
    shop: Shop, feeds: FeedReader, now: list[datetime]
) -> None:
    shop.rows = newest_first(3, step=timedelta(minutes=10))
    *_, last = feeds.hints("updated_cards", None)
    # It carries a time of just before the first walk, and was not visible then.
    shop.rows.insert(1, card(999, NOW - LONG_OVERLAP))
    # Meanwhile other cards move the watermark on.
    shop.rows.insert(0, card(998, NOW + timedelta(minutes=4)))
    now[0] = NOW + LONG_WALKS - timedelta(seconds=1)
    *_, short = feeds.hints("updated_cards", last.cursor)
    assert ids([short]) == ["998", "0"]

    now[0] = NOW + LONG_WALKS
    *_, long = feeds.hints("updated_cards", short.cursor)

    assert ids([long]) == ["998", "0", "999"]
    now[0] += timedelta(seconds=15)
    *_, again = feeds.hints("updated_cards", long.cursor)
    assert ids([again]) == ["998"]


def test_only_a_walk_that_does_not_end_with_its_first_page_reads_whole_pages(
    shop: Shop, feeds: FeedReader
) -> None:
    shop.rows = newest_first(UPDATES_PER_PAGE + UPDATES_PER_LATER_PAGE + 1)

    pages = list(feeds.hints("updated_cards", None))

    assert [len(page.hints) for page in pages] == [UPDATES_PER_PAGE, UPDATES_PER_LATER_PAGE, 1]
    assert [asked["first"] for asked in shop.asked] == [UPDATES_PER_PAGE, *[UPDATES_PER_LATER_PAGE] * 2]


def test_a_walk_that_is_cut_short_goes_on_downwards(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = newest_first(3 * UPDATES_PER_PAGE)
    first = next(feeds.hints("updated_cards", None))

    rest = list(feeds.hints("updated_cards", first.cursor))

    assert ids([first, *rest]) == [str(number) for number in range(3 * UPDATES_PER_PAGE)]
    # Only now is everything known up to the newest update that the first page met.
    cursor = json.loads(rest[-1].cursor)
    assert (cursor["watermark"], cursor["newest"], cursor["after"]) == (NOW.isoformat(), None, None)


def test_a_page_out_of_order_does_not_end_the_walk(shop: Shop, feeds: FeedReader) -> None:
    old = card(1, NOW - timedelta(days=3))
    shop.rows = [card(0)] * (UPDATES_PER_PAGE - 2) + [old, card(2), old, card(3)]
    shop.rows[UPDATES_PER_PAGE - 2 : UPDATES_PER_PAGE] = [card(2), old]
    shop.rows[0] = card(4, NOW - timedelta(minutes=5))

    assert ids(list(feeds.hints("updated_cards", None)))[-1] == "3"


def test_nothing_updated_keeps_the_watermark(feeds: FeedReader) -> None:
    (page,) = feeds.hints("updated_cards", None)
    (again,) = feeds.hints("updated_cards", page.cursor)

    assert page.hints == []
    assert again.cursor == page.cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "{",
        "[]",
        '{"watermark": "soon"}',
        '{"watermark": 7}',
        '{"watermark": "2026-11-23"}',
        '{"other": 1}',
        '{"long_at": "soon"}',
    ],
)
def test_a_damaged_watermark_is_as_good_as_none(shop: Shop, feeds: FeedReader, cursor: str) -> None:
    shop.rows = newest_first(2)

    assert ids(list(feeds.hints("updated_cards", cursor))) == ["0", "1"]


def test_an_unknown_feed_is_a_mistake_of_the_caller(feeds: FeedReader) -> None:
    with pytest.raises(ValueError, match="no feed"):
        feeds.hints("newsletter", None)


# Payments of orders.


def order(*payments: Body) -> Body:
    return {"id": "gid://shopify/Order/1", "name": "#1007", "updatedAt": stamp(NOW), "transactions": payments}


def payment(receipt: object, gateway: str = "gift_card") -> Body:
    return {"id": "x", "gateway": gateway, "processedAt": stamp(NOW), "receiptJson": receipt}


RECEIPT = {"gift_card_id": 663920574770, "gift_card_last_characters": "2B5a"}


def hints_of(*payments: Body) -> list[Hint]:
    return payment_hints(order() | {"transactions": list(payments)})


@pytest.mark.parametrize(
    "receipt", [RECEIPT, json.dumps(RECEIPT), {**RECEIPT, "gift_card_id": "663920574770"}]
)
def test_a_payment_with_a_card_hints_at_it(receipt: object) -> None:
    (hint,) = hints_of(payment({"other": 1}, "bogus"), payment(receipt))

    assert hint.card.native_id == "gid://shopify/GiftCard/663920574770"
    assert (hint.last_chars, hint.at, hint.details) == ("2b5a", NOW, {})
    assert not hint.sold_here


@pytest.mark.parametrize(
    "receipt",
    [None, "", "{", "[]", {}, {"gift_card_id": None}, {"gift_card_id": True}, {"gift_card_id": "x"}],
)
def test_a_receipt_that_says_nothing_is_no_hint(receipt: object) -> None:
    assert hints_of(payment(receipt)) == []


def test_orders_are_walked_like_cards(shop: Shop, feeds: FeedReader) -> None:
    shop.rows = [order() | {"transactions": [payment(RECEIPT), payment(RECEIPT, "bogus")]}]

    assert ids(list(feeds.hints("orders", None))) == ["663920574770"]


# Clocks of others.


def test_given_an_update_of_the_future_then_the_watermark_stays_at_our_own_time(
    shop: Shop, feeds: FeedReader, now: list[datetime]
) -> None:
    shop.rows = [card(1, NOW + timedelta(hours=2)), card(0)]
    *_, last = feeds.hints("updated_cards", None)
    assert json.loads(last.cursor)["watermark"] == NOW.isoformat()

    now[0] = NOW + timedelta(minutes=10)
    shop.rows.insert(1, card(2, now[0]))
    assert "2" in ids(list(feeds.hints("updated_cards", last.cursor)))


def test_given_what_became_visible_hours_late_then_a_wide_walk_meets_it(
    shop: Shop, feeds: FeedReader, now: list[datetime]
) -> None:
    shop.rows = newest_first(3, step=timedelta(minutes=10))
    *_, last = feeds.hints("updated_cards", None)
    now[0] = NOW + WIDE_WALKS - timedelta(seconds=1)
    shop.rows.insert(0, card(998, now[0]))
    shop.rows.append(card(999, NOW - timedelta(minutes=90)))
    *_, last = feeds.hints("updated_cards", last.cursor)
    assert "999" not in ids([last])

    now[0] = NOW + WIDE_WALKS
    *_, wide = feeds.hints("updated_cards", last.cursor)

    assert "999" in ids([wide])


def test_given_our_own_clock_was_set_back_then_the_walks_go_on(
    shop: Shop, feeds: FeedReader, now: list[datetime]
) -> None:
    now[0] = NOW + timedelta(days=1)
    shop.rows = [card(0, now[0])]
    *_, last = feeds.hints("updated_cards", None)
    now[0] = NOW
    shop.rows.append(card(1, NOW))
    assert "1" in ids(list(feeds.hints("updated_cards", last.cursor)))


@pytest.mark.parametrize(
    "odd", [{"createdAt": None}, {"lastCharacters": None}, {"order": {"id": 7}}, {"note": ["gs-abc1"]}]
)
def test_given_one_odd_card_in_the_list_then_it_is_hinted_by_its_id_and_the_others_as_ever(
    shop: Shop, feeds: FeedReader, odd: Body
) -> None:
    shop.rows = [card(1), card(2, **odd), card(3)]

    hints = [hint for page in feeds.hints("new_cards", None) for hint in page.hints]

    assert [hint.card.native_id for hint in hints] == [f"gid://shopify/GiftCard/{n}" for n in (1, 2, 3)]
    assert [hint.sold_here for hint in hints] == [False, "order" in odd, False]


def test_given_an_odd_order_or_moment_then_what_stands_behind_it_is_met_and_the_walk_ends(
    shop: Shop, feeds: FeedReader
) -> None:
    shop.rows = [card(1, updatedAt=None), card(2)]
    pages = list(feeds.hints("updated_cards", None))
    assert [hint.card.native_id for page in pages for hint in page.hints] == [
        f"gid://shopify/GiftCard/{n}" for n in (1, 2)
    ]
    assert json.loads(pages[-1].cursor)["after"] is None

    shop.rows = [
        {"updatedAt": stamp(NOW), "transactions": None},
        {"updatedAt": stamp(NOW), "transactions": []},
    ]
    assert [page.hints for page in feeds.hints("orders", None)] == [[]]
