"""Cards as the control plane wants them, on both emulators: chosen, unreadable, deleted, in any currency."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.conftest_shopify import CREDIT, Shop, money, running_shop
from tests.sandbox.test_flow_support import Flow, code_of, serve

CARD = """query Card($id: ID!) { giftCard(id: $id) {
  id balance { amount currencyCode } initialValue { amount } enabled expiresOn lastCharacters maskedCode note
  transactions(first: 5) { nodes { amount { amount } note } }
} }"""


def made(shop: Shop, **body: object) -> dict[str, Any]:
    response = shop.control("card", **body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


# Flow.


def test_given_a_chosen_number_then_flow_has_that_card_without_an_order(flow: Flow) -> None:
    flow.control(
        "card",
        {"number": "7001", "balance": "120.50", "valid_to": "2028-01-01T00:00:00Z", "note": "from a list"},
    )
    card = flow.card("7001").json()
    assert (card["balance"], card["status"], card["note"]) == (12050, "ACTIVE", "from a list")
    assert card["validTo"] == "2028-01-01T00:00:00.000Z"
    assert flow.search().json()["items"] == []
    assert [one["kind"] for one in flow.truth("7001")["transactions"]] == ["adjust"]


def test_given_a_card_that_waits_to_be_sold_then_a_till_sells_that_number(flow: Flow) -> None:
    flow.control("card", {"number": "7002", "issued": False})
    assert flow.card("7002").json()["status"] == "INACTIVE"
    assert flow.sell(30, number="7002") == "7002"
    assert flow.truth("7002")["balance"] == "30.00"


def test_given_a_known_card_when_changed_then_only_what_is_named(flow: Flow) -> None:
    number = flow.sell(100)
    before = flow.truth(number)
    flow.control("card", {"number": number, "balance": "-50"})
    after = flow.truth(number)
    assert after["balance"] == "-50.00"
    assert (after["status"], after["expires"], after["note"]) == (
        before["status"],
        before["expires"],
        before["note"],
    )
    assert flow.card(number).json()["balance"] == -5000
    flow.control("card", {"number": number, "valid_to": None, "status": "FROZEN"})
    assert flow.card(number).json()["validTo"] is None
    assert flow.card(number).json()["status"] == "FROZEN"
    flow.control("redeem", {"number": number, "amount": 1}, status=409)


def test_given_a_card_that_needs_a_cvc_then_reads_without_it_are_refused(flow: Flow) -> None:
    answer = flow.control("card", {"number": "7003", "balance": 5, "cvc_required": True})
    assert flow.card("7003").status_code == 422
    assert flow.card("7003", cvc=answer["cvc"]).json()["balance"] == 500
    order = flow.redemption("7003", 100)
    assert code_of(flow.pay_with_card(order, "7003", 100)) == "WRONG_CVC"
    flow.control("behaviour", {"cvc_mode": "hide_balance"})
    assert flow.card("7003").json()["balance"] is None


def test_given_other_values_to_show_then_the_api_lies_and_the_truth_stays(flow: Flow) -> None:
    number = flow.sell(100)
    flow.control(
        "show", {"number": number, "fields": {"balance": 10050.5, "status": 7}, "without": ["validTo"]}
    )
    card = flow.card(number).json()
    assert (card["balance"], card["status"]) == (10050.5, 7)
    assert "validTo" not in card
    assert flow.truth(number)["balance"] == "100.00"
    flow.control("show", {"number": number})
    assert flow.card(number).json()["balance"] == 10000


def test_given_a_deleted_card_then_nobody_finds_it_and_its_orders_stay(flow: Flow) -> None:
    number = flow.sell(100)
    flow.control("delete", {"number": number})
    assert flow.card(number).status_code == 404
    assert flow.search().json()["paging"]["totalCount"] == 1
    flow.control("delete", {"number": number}, status=404)
    other, again = flow.truth(flow.sell(1)), flow.truth(flow.sell(2))
    assert other["id"] != again["id"]


@pytest.mark.parametrize(("comparison", "found"), [("exact", 404), ("loose", 200)])
def test_given_a_comparison_of_numbers_then_another_spelling_is_found_or_not(
    flow: Flow, comparison: str, found: int
) -> None:
    flow.control("card", {"number": "AB-70 04", "balance": 1})
    flow.control("behaviour", {"number_comparison": comparison})
    assert flow.card("ab7004").status_code == found
    flow.control("card", {"number": "AB-70 05", "balance": 1})
    assert flow.card("ab7005").status_code == found
    assert flow.card("AB-70 04").status_code == 200


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("card", {}, 400),
        ("card", {"number": "1", "balance": "1.005"}, 400),
        ("card", {"number": "1", "balance": "NaN"}, 400),
        ("card", {"number": "1", "status": "frozen"}, 400),
        ("card", {"number": "1", "valid_to": "2028-01-01"}, 400),
        ("card", {"number": "1", "brand": "nope"}, 400),
        ("card", {"number": "1" * 65}, 400),
        ("card", {"number": "1", "surprise": 1}, 400),
        ("show", {"number": "1"}, 404),
        ("delete", {"number": "1"}, 404),
        ("currency", {"currency": "kr"}, 400),
        ("behaviour", {"nonsense": 1}, 400),
        ("behaviour", {"cvc_mode": "sometimes"}, 400),
        ("behaviour", {"first_page": -1}, 400),
        ("behaviour", {"first_page": 1.5}, 400),
        ("behaviour", {"legacy_lookups": 1}, 400),
        ("behaviour", {"external_settlement_codes": []}, 400),
    ],
)
def test_given_a_flow_call_that_makes_no_sense_then_it_says_why_and_makes_no_card(
    flow: Flow, call: str, body: dict[str, object], status: int
) -> None:
    assert flow.control(call, body, status=status)["error"]
    assert flow.session.get(f"{flow.url}/_sandbox/cards", timeout=10).json() == []


def test_given_yen_then_tills_take_whole_ones_and_the_api_writes_hundredths() -> None:
    with serve(currency="JPY", cards=20) as flow:
        number = flow.sell(1500)
        assert flow.card(number).json()["balance"] == 150_000
        flow.control("redeem", {"number": number, "amount": "0.50"}, status=400)
        truth = flow.session.get(f"{flow.url}/_sandbox/cards", timeout=10).json()
        assert all(card["balance"].endswith(".00") for card in truth)
        flow.control("card", {"number": number, "balance": "1499.50"})
        assert flow.card(number).json()["balance"] == 149_950


def test_given_another_currency_then_flows_store_trades_in_it(flow: Flow) -> None:
    flow.control("currency", {"currency": "SEK"})
    assert flow.get("/tenants/7/stores/70").json()["countryCode"] == "SE"
    assert flow.control("backoffice")["currency"] == "SEK"


def test_given_the_list_of_calls_then_each_says_what_it_takes(flow: Flow, shop: Shop) -> None:
    for url in (flow.url, shop.url):
        calls = flow.session.get(f"{url}/_sandbox/", timeout=10).json()["POST"]
        assert {"card", "show", "delete", "currency", "clock", "behaviour", "faults"} <= set(calls)
        assert all(words for words in calls.values())


# Shopify.


def test_given_a_chosen_code_then_the_shop_has_that_card(shop: Shop) -> None:
    answer = made(shop, code="CHOSEN-0001", balance="250.50", expires="2028-01-31", note="by hand")
    assert answer["code"] == "chosen0001"
    card = shop.data(CARD, id=answer["id"])["giftCard"]
    assert card["balance"] == {"amount": "250.5", "currencyCode": "NOK"}
    assert (card["enabled"], card["expiresOn"], card["note"]) == (True, "2028-01-31", "by hand")
    assert shop.cards()[answer["id"]]["source"] == "manual"
    assert shop.control("checkout", code="chosen0001", amount=50).json()["balance"] == "200.50"


def test_given_a_known_card_when_changed_then_the_books_go_on_adding_up(shop: Shop) -> None:
    gid = shop.create("100", code="known00001")
    made(shop, code="known00001", balance="-20", status="disabled")
    truth = shop.cards()[gid]
    assert (truth["balance"], truth["status"], truth["initial"]) == ("-20.00", "disabled", "100.00")
    card = shop.data(CARD, id=gid)["giftCard"]
    assert card["balance"]["amount"] == "-20.0"
    assert card["transactions"]["nodes"] == [{"amount": {"amount": "-120.0"}, "note": None}]
    made(shop, id=gid, status="enabled", currency="SEK")
    card = shop.data(CARD, id=gid)["giftCard"]
    assert (card["enabled"], card["balance"]["currencyCode"]) == (True, "SEK")


def test_given_other_values_to_show_then_the_shops_api_lies(shop: Shop) -> None:
    gid = shop.create("100", code="lying00001")
    shop.control("show", id=gid, balance="100.505", enabled=False, last_characters="zzzz", currency="JPY")
    card = shop.data(CARD, id=gid)["giftCard"]
    assert card["balance"] == {"amount": "100.505", "currencyCode": "JPY"}
    assert (card["enabled"], card["lastCharacters"]) == (False, "zzzz")
    assert card["maskedCode"].endswith("zzzz")
    assert shop.cards()[gid]["balance"] == "100.00"
    shop.control("show", id=gid)
    assert shop.data(CARD, id=gid)["giftCard"]["lastCharacters"] == "0001"


def test_given_a_deleted_card_then_no_list_and_no_search_has_it(shop: Shop) -> None:
    gid, other = shop.create("100", code="deleted001"), shop.create("5", code="staying001")
    query = "{ giftCards(first: 5, sortKey: UPDATED_AT) { nodes { id } } }"
    assert len(shop.data(query)["giftCards"]["nodes"]) == 2
    assert shop.control("delete", code="deleted001").status_code == 200
    assert shop.data(query)["giftCards"]["nodes"] == [{"id": other}]
    assert shop.data(CARD, id=gid)["giftCard"] is None
    assert shop.data('{ giftCards(first: 1, query: "deleted001") { nodes { id } } }')["giftCards"] == {
        "nodes": []
    }
    payload = shop.payload(CREDIT, id=gid, input={"creditAmount": money("1")})
    assert payload["userErrors"][0]["code"] == "GIFT_CARD_NOT_FOUND"
    assert shop.control("delete", code="deleted001").status_code == 404
    assert list(shop.cards()) == [other]


def test_given_a_deletion_that_search_has_not_seen_then_it_is_gone_from_search_too() -> None:
    from sandbox.shopify import ShopifyBehaviour

    with running_shop(behaviour=ShopifyBehaviour(search_lag_s=60)) as shop:
        shop.create("1", code="young00001")
        shop.control("delete", code="young00001")
        assert shop.data('{ giftCards(first: 5, query: "source:api_client") { nodes { id } } }') == {
            "giftCards": {"nodes": []}
        }


@pytest.mark.parametrize(
    ("currency", "amount", "shown", "truth"),
    [("JPY", "1500", "1500.0", "1500"), ("KWD", "12.345", "12.345", "12.345")],
)
def test_given_a_currency_with_other_decimals_then_amounts_keep_them(
    currency: str, amount: str, shown: str, truth: str
) -> None:
    with running_shop(currency=currency, cards=10) as shop:
        bought = shop.control("purchase", amount=amount, name="Aiko", email="aiko@example.com").json()
        card = shop.data(CARD, id=bought["id"])["giftCard"]
        assert card["balance"] == {"amount": shown, "currencyCode": currency}
        assert shop.cards()[bought["id"]]["balance"] == truth
        too_fine = {"JPY": "0.5", "KWD": "0.0005"}[currency]
        assert shop.control("checkout", code=bought["code"], amount=too_fine).status_code == 400


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("card", {"balance": 1}, 400),
        ("card", {"code": "short", "balance": 1}, 400),
        ("card", {"code": "nobalance1"}, 400),
        ("card", {"code": "fine000001", "balance": "1.005"}, 400),
        ("card", {"code": "fine000001", "balance": 1, "status": "expired"}, 400),
        ("card", {"code": "fine000001", "balance": 1, "expires": "31.12.2027"}, 400),
        ("card", {"id": "gid://shopify/GiftCard/1", "balance": 1}, 404),
        ("show", {"code": "fine000001"}, 404),
        ("delete", {"code": "fine000001"}, 404),
        ("delete", {}, 400),
        ("behaviour", {"search_lag_s": 1}, 400),
        ("behaviour", {"issue_limit": "-1"}, 400),
        ("behaviour", {"receipt_json": "text"}, 400),
    ],
)
def test_given_a_shop_call_that_makes_no_sense_then_it_says_why_and_makes_no_card(
    shop: Shop, call: str, body: dict[str, object], status: int
) -> None:
    response = shop.control(call, **body)
    assert response.status_code == status, response.text
    assert response.json()["error"]
    assert shop.cards() == {}


def test_given_a_lower_limit_while_serving_then_it_binds(shop: Shop) -> None:
    switches = shop.control("behaviour", issue_limit="50").json()
    assert (switches["issue_limit"], switches["receipt_json"]) == ("50", "string")
    payload = shop.payload(
        CREDIT, id=shop.create("50", code="limited001"), input={"creditAmount": money("1")}
    )
    assert payload["userErrors"][0]["code"] == "GIFT_CARD_LIMIT_EXCEEDED"


def test_given_a_shop_that_misreads_and_loses_then_its_api_shows_both() -> None:
    with running_shop() as shop:
        card = made(shop, code="misread100000001", balance="100")
        assert shop.control("misread", times=10).json() == {"times": 10}
        shop.payload(CREDIT, id=card["id"], input={"creditAmount": money("5"), "note": "gs-1"})
        shown = shop.data(CARD, id=card["id"])["giftCard"]
        assert shown["balance"]["amount"] == "150.0"
        assert [one["note"] for one in shown["transactions"]["nodes"]] == ["gs-1"]

        assert shop.control("lose", code="misread100000001").json()["balance"] == "100.00"

        shown = shop.data(CARD, id=card["id"])["giftCard"]
        assert (shown["balance"]["amount"], shown["transactions"]["nodes"]) == ("100.0", [])
