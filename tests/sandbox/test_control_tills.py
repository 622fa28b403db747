"""Tills with clocks of their own, and tills that send their sales later."""

from __future__ import annotations

import pytest

from tests.sandbox.test_flow_support import Flow


def settled(flow: Flow) -> list[tuple[str, str]]:
    receipts = flow.search().json()["items"]
    return [
        (flow.read_order(receipt["orderUid"])["tillUid"], receipt["settledAt"][11:16]) for receipt in receipts
    ]


def test_given_a_till_that_is_fast_then_its_receipts_are_from_the_future(flow: Flow) -> None:
    number = flow.sell(100)
    assert flow.control("till", {"till": "2", "clock_ahead_s": 7200})["now"] == "2026-03-01T14:00:00.000Z"
    flow.control("redeem", {"number": number, "amount": 10, "till": "2"})
    flow.clock.forward(minutes=5)
    flow.control("redeem", {"number": number, "amount": 5})
    assert settled(flow) == [("2", "14:00"), ("1", "12:05"), ("1", "12:00")]
    assert flow.truth(number)["balance"] == "85.00"


def test_given_an_offline_till_then_its_sales_arrive_later_with_its_own_times(flow: Flow) -> None:
    number = flow.sell(100)
    flow.control("till", {"till": "2", "offline": True})
    paid = flow.control("redeem", {"number": number, "amount": 30, "till": "2"})
    assert paid == {"balance": "70.00", "order_id": None}
    sold = flow.control("sell", {"amount": 20, "till": "2"})
    assert (sold["balance"], sold["order_id"]) == ("20.00", None)
    flow.control("deposit", {"number": sold["number"], "amount": 5, "till": "2"})
    assert flow.truth(number)["balance"] == "100.00"
    assert flow.card(sold["number"]).json()["status"] == "INACTIVE"
    flow.clock.forward(hours=3)
    connected = flow.control("till", {"till": "2", "offline": False})
    assert (connected["unsent"], len(connected["sent"])) == (0, 3)
    assert flow.truth(number)["balance"] == "70.00"
    assert flow.truth(sold["number"])["balance"] == "25.00"
    assert flow.card(sold["number"]).json()["status"] == "ACTIVE"
    assert settled(flow) == [("2", "12:00")] * 3 + [("1", "12:00")]
    late = flow.read_order(connected["sent"][0])
    assert late["lastModifiedAt"] == "2026-03-01T15:00:00.000Z"
    assert flow.control("till", {"till": "2"})["sent"] == []


def test_given_an_offline_till_that_took_more_than_there_was_then_the_card_ends_below_zero(
    flow: Flow,
) -> None:
    number = flow.sell(100)
    flow.control("till", {"till": "2", "offline": True})
    flow.control("redeem", {"number": number, "amount": 80, "till": "2"})
    flow.control("redeem", {"number": number, "amount": 60})
    flow.control("till", {"till": "2", "offline": False})
    assert flow.truth(number)["balance"] == "-40.00"
    assert flow.card(number).json()["balance"] == -4000


def test_given_a_card_cleared_meanwhile_then_the_late_sale_is_booked_all_the_same(flow: Flow) -> None:
    number = flow.sell(100)
    flow.control("till", {"till": "2", "offline": True})
    flow.control("redeem", {"number": number, "amount": 10, "till": "2"})
    flow.control("status", {"number": number, "status": "CLEARED"})
    flow.control("till", {"till": "2", "offline": False})
    assert flow.truth(number)["balance"] == "-10.00"


@pytest.mark.parametrize(
    "body",
    [
        {"till": ""},
        {"till": "a b"},
        {"till": 1},
        {"store": "71"},
        {"clock_ahead_s": "1"},
        {"offline": "yes"},
        {"clock_ahead_s": 1e12},
        {"surprise": 1},
    ],
)
def test_given_a_till_call_that_makes_no_sense_then_400(flow: Flow, body: dict[str, object]) -> None:
    assert flow.control("till", body, status=400)["error"]
