"""Bulk operations of the Shopify connector, over a real loopback connection to the emulated shop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from connectors.api.bulk import LineOutcome, ListState
from connectors.api.card import CardRef
from connectors.api.effect import Applied, Effect, EffectKind, no_save
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideError,
    Throttled,
)
from connectors.kit.files import FileStore
from connectors.kit.world import Mishap
from connectors.shopify import ShopifySide, operations
from connectors.shopify.bulk import _outcome
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.shopify import ALL_SCOPES, ShopifyBehaviour
from sandbox.shopify.bulk.rules import check_mutation, check_query

from .test_shopify import ShopifyWorld, opened_shop

SCHEMA = Path(__file__).parents[2] / "sandbox" / "shopify" / "graphql" / "schema.graphql"
TAG = "0123456789abcdef"
LOOKS_MAX = 1_000


@pytest.fixture
def world() -> Iterator[ShopifyWorld]:
    with opened_shop(behaviour=ShopifyBehaviour(bulk_queue_s=3, search_lag_s=0)) as world:
        yield world


@pytest.fixture
def side(world: ShopifyWorld) -> Iterator[ShopifySide]:
    side = world.side()
    yield side
    side.close()


def create(number: int, minor: int = 10_000, code: str | None = None) -> Effect:
    serial = Serial(code or f"20003000400050{number:02d}")
    card = CardRef(None, serial)
    return Effect(f"gs-bulk{number:02d}", EffectKind.CREATE, card, "NOK", minor, expires_on=date(2031, 5, 17))


def wait_while(world: ShopifyWorld, holds: Callable[[], bool]) -> None:
    for _ in range(LOOKS_MAX):
        if not holds():
            return
        world.time.pause(1)
    raise AssertionError("it never ended")


def done(side: ShopifySide, world: ShopifyWorld, operation: str) -> dict[int, LineOutcome]:
    wait_while(world, lambda: not side.bulk.state(operation).is_over)
    return {one.line: one for one in side.bulk.outcomes(operation)}


def test_given_the_documents_of_bulk_operations_then_shopifys_rules_take_them() -> None:
    schema = build_schema(SCHEMA.read_text(encoding="utf-8"), assume_valid=True)
    mutation = operations.create_in_bulk(TAG)
    listing = operations.list_in_bulk(TAG)
    assert not isinstance(check_query(schema, listing), list)
    assert parse(mutation) == check_mutation(schema, mutation, None, money_allowed=False)
    for secret in ("giftCardCode", "customer", "email", "phone"):
        assert secret not in listing + mutation
    with pytest.raises(ValueError, match="letters and digits"):
        operations.bulk_name("a } mutation {")


def test_given_cards_then_all_are_listed_with_what_their_orders_tell(
    world: ShopifyWorld, side: ShopifySide
) -> None:
    bought = world.emulator.state.cards
    assert list(side.bulk.list_cards(lambda count: None)) == []
    world.sell(250_00)
    side.apply(create(1), no_save)
    told: list[int] = []

    listed = list(side.bulk.list_cards(told.append))

    assert [one.seen.balance_minor for one in listed] == [250_00, 100_00]
    assert listed[1].seen.created_by == "gs-bulk01"
    assert listed[1].seen.expires_on == date(2031, 5, 17)
    assert [one.bought for one in listed] == [True, False]
    details = side.bulk.details_of([one.seen.native_id for one in listed])
    assert [found["shipping_name"] for found in details.values()] == ["Kari Nordmann"]
    assert set(details) == {listed[0].seen.native_id}
    assert len(bought) == 2
    assert told[-1] == 2


def test_given_an_ordered_list_then_it_is_found_by_its_tag_and_read_from_any_line(
    world: ShopifyWorld, side: ShopifySide
) -> None:
    for amount in (100_00, 200_00, 300_00):
        world.sell(amount)
    assert side.bulk.find_list(TAG) is None

    operation = side.bulk.order_list(TAG)

    assert side.bulk.find_list(TAG) == operation
    assert side.bulk.list_state(operation) is ListState.GATHERING
    with pytest.raises(InDoubt, match="ended as"):
        side.bulk.read_list(operation)
    wait_while(world, lambda: side.bulk.list_state(operation) is ListState.GATHERING)
    assert side.bulk.list_state(operation) is ListState.READY
    assert [one.balances_minor for one in side.bulk.read_list(operation)] == [[100_00, 200_00, 300_00]]
    assert [one.balances_minor for one in side.bulk.read_list(operation, 2)] == [[300_00]]
    assert list(side.bulk.read_list(operation, 3)) == []


def test_given_a_list_that_shopify_gave_up_then_it_is_lost() -> None:
    scopes = tuple(scope for scope in ALL_SCOPES if "orders" not in scope)
    with opened_shop(scopes=scopes) as world:
        side = world.side()
        operation = side.bulk.order_list(TAG)
        wait_while(world, lambda: side.bulk.list_state(operation) is ListState.GATHERING)
        assert side.bulk.list_state(operation) is ListState.LOST
        side.close()


def test_given_creates_in_one_file_then_each_line_has_its_outcome(
    world: ShopifyWorld, side: ShopifySide
) -> None:
    side.apply(create(9), no_save)
    effects = [create(1), create(2, code="2000300040005009"), create(3, minor=99_999_900), create(4)]
    path = side.bulk.upload(effects)
    assert side.bulk.find_started(TAG) is None

    operation = side.bulk.start(TAG, path)

    assert side.bulk.find_started(TAG) == operation
    found = done(side, world, operation)
    assert [isinstance(found[line].result, Applied) for line in range(4)] == [True, False, False, True]
    assert [found[line].marker for line in (0, 3)] == ["gs-bulk01", "gs-bulk04"]
    reasons = [one.result.reason for one in found.values() if isinstance(one.result, Refused)]
    assert sorted(reasons) == [Refusal.OVER_LIMIT, Refusal.TAKEN]
    made = side.lookup(Serial("2000300040005001"))
    assert (made.balance_minor, made.created_by, made.status) == (10_000, "gs-bulk01", CardStatus.ACTIVE)  # type: ignore[union-attr]


def test_given_too_many_at_a_time_then_it_is_throttled_and_nothing_happened(
    world: ShopifyWorld, side: ShopifySide
) -> None:
    path = side.bulk.upload([create(1)])
    for number in range(5):
        side.bulk.start(f"{number:016d}", path)
    with pytest.raises(Throttled):
        side.bulk.start(TAG, path)


def test_given_a_lost_answer_to_the_start_then_it_is_in_doubt_and_can_be_found(
    world: ShopifyWorld, side: ShopifySide
) -> None:
    path = side.bulk.upload([create(1)])
    world.fail_next(Mishap.DROP_RESPONSE)
    with pytest.raises(InDoubt):
        side.bulk.start(TAG, path)
    operation = side.bulk.find_started(TAG)
    assert operation is not None
    assert isinstance(done(side, world, operation)[0].result, Applied)


def test_given_an_app_that_may_not_list_then_it_fails_and_says_so() -> None:
    scopes = tuple(scope for scope in ALL_SCOPES if "orders" not in scope)
    with opened_shop(scopes=scopes) as world:
        side = world.side()
        with pytest.raises(InDoubt, match="FAILED"):
            list(side.bulk.list_cards(lambda count: None))
        side.close()


def test_given_the_shops_limits_and_pace_then_both_are_told(world: ShopifyWorld, side: ShopifySide) -> None:
    assert side.bulk.creation_limit() == (2_000_000, "NOK")
    pace = side.bulk.pace()
    assert (pace.create_points, pace.restore_points_per_second) == (10, 100)


def test_given_a_line_that_says_nothing_clear_then_it_is_in_doubt_or_passed_over() -> None:
    card = {"id": "gid://shopify/GiftCard/1", "note": "gs-abcd1234 words"}

    def line(**more: object) -> LineOutcome | None:
        return _outcome({"__lineNumber": 4, **more})

    payload = {"data": {"giftCardCreate": {"giftCard": card, "userErrors": []}}}
    assert line(**payload) == LineOutcome(4, "gs-abcd1234", Applied("gid://shopify/GiftCard/1"))
    assert _outcome(payload) is None
    oddities: tuple[dict[str, Any], ...] = (
        {"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]},
        {"data": None},
        {"data": {"giftCardCreate": None}},
        {"data": {"giftCardCreate": {"giftCard": None, "userErrors": []}}},
        {"data": {"giftCardCreate": {"giftCard": card, "userErrors": [{"field": None, "message": "x"}]}}},
    )
    for odd in oddities:
        found = line(**odd)
        assert found is not None
        assert isinstance(found.result, InDoubt), odd


# --- The file store -----------------------------------------------------------------------------------------


@pytest.fixture
def store() -> FileStore:
    return FileStore(lambda seconds: None, 1, 1)


def breaking(chunks: list[bytes], fail_times: int) -> Callable[[Request], Response]:
    """Answers with a body that is announced longer than it is, `fail_times` times."""
    left = [fail_times]

    def answer(_: Request) -> Response:
        whole = b"".join(chunks)
        if left[0] > 0:
            left[0] -= 1
            response = Response(chunks[0])
            response.headers["Content-Length"] = str(len(whole))
            return response
        return Response(whole)

    return answer


def test_given_a_download_that_breaks_then_it_goes_on_where_it_broke(
    httpserver: HTTPServer, store: FileStore
) -> None:
    chunks = [b'{"a":1}\n{"a":2}\n{"a', b'":3}\n{"a":4}']
    httpserver.expect_request("/result").respond_with_handler(breaking(chunks, 2))
    lines = [json.loads(line)["a"] for line in store.lines(httpserver.url_for("/result"))]
    assert lines == [1, 2, 3, 4]


def test_given_files_that_cannot_be_had_then_it_says_so(httpserver: HTTPServer, store: FileStore) -> None:
    httpserver.expect_request("/gone").respond_with_data("", status=404)
    httpserver.expect_request("/endless").respond_with_data(b"x" * 1_100_000)
    with pytest.raises(InDoubt, match="404"):
        list(store.lines(httpserver.url_for("/gone")))
    with pytest.raises(InDoubt, match="404"):
        store.post_form(httpserver.url_for("/gone"), [("key", "k")], "f.jsonl", b"x")
    with pytest.raises(SideError, match="longer than any"):
        list(store.lines(httpserver.url_for("/endless")))
    with pytest.raises(NotSent):
        list(store.lines("http://127.0.0.1:9/none"))
    for far in ("http://storage.example.com/x", "ftp://127.0.0.1/x", "http://127.0.0.1.example.com/x"):
        with pytest.raises(SideError, match="readably"):
            list(store.lines(far))
