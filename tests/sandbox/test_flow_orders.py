"""Conformance of orders, settlements and how balances move, flow.md §4, §5 and §8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.flow.behaviour import PROFILE_RENAMED, DebitMoment, FlowBehaviour
from sandbox.flow.catalog import Permission, Store
from tests.sandbox.test_flow_support import Flow, code_of, serve

POOL_NUMBER = "4000000000000002"
ORDER_FIELDS = {
    "createdAt",
    "lastModifiedAt",
    "orderDate",
    "orderUid",
    "orderNumber",
    "voucherNumber",
    "externalOrderNumber",
    "externalVoucherNumber",
    "type",
    "systemOrigin",
    "orderState",
    "settleState",
    "deliveryState",
    "orderhandlingState",
    "orderhandlings",
    "items",
    "orderTotals",
    "settlements",
    "settlementTotals",
    "discounts",
    "customerUid",
    "customerContact",
    "customerAddress",
    "invoiceAddress",
    "note",
    "internalNote",
    "storeUid",
    "storeName",
    "tillUid",
    "tenantUserUid",
    "tenantUserDisplayName",
    "vatFree",
    "vatPrint",
    "deliveryDate",
    "compensationReasonUid",
    "lastModifiedBy",
    "allowedActions",
}
SETTLEMENT_FIELDS = {
    "amount",
    "createdAt",
    "displayMessages",
    "externalId",
    "externalPaymentReference",
    "idMethod",
    "lastModifiedAt",
    "ledgerNumber",
    "ledgerType",
    "parameters",
    "settledAt",
    "settlementCode",
    "settlementUid",
    "settlementName",
    "state",
    "status",
    "storeSettlementIssuerUid",
    "tenantUserDisplayName",
    "tenantUserUid",
    "storePaymentMethodUid",
    "currency",
    "additionalDetails",
    "paymentCount",
    "paymentAmount",
    "orderReceiptUid",
}


# flow.md §4: orders.


def test_given_a_new_order_when_read_then_every_required_field_is_there() -> None:
    with serve() as flow:
        order = flow.order(note="gs-1", customerAddress={"firstname": "Kari", "city": "Oslo"})
        read = flow.read_order(order)
        assert set(read) == ORDER_FIELDS
        assert (read["externalOrderNumber"], read["note"]) == ("gs-1", "gs-1")
        assert read["customerAddress"]["city"] == "Oslo"
        assert (read["settleState"], read["deliveryState"]) == ("NOT_SETTLED", "NOT_STARTED")
        assert read["settlementTotals"] == {"settledAmount": 0, "remainingAmount": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "OFFER"},
        {"type": None},
        {"systemOrigin": "HACK"},
        {"externalOrderNumber": 5},
        {"surprise": 1},
        {"customerAddress": "Oslo"},
        {"customerAddress": {"planet": "Mars"}},
    ],
)
def test_given_a_bad_order_when_created_then_400(change: dict[str, object]) -> None:
    with serve() as flow:
        body = {"type": "ORDER", "systemOrigin": "APP", **change}
        assert flow.post("/tenants/7/stores/70/orders", body).status_code == 400


def test_given_the_same_external_order_number_when_created_twice_then_the_switch_decides() -> None:
    with serve() as flow:
        assert flow.order() != flow.order()
    with serve(FlowBehaviour(external_order_number_unique=True)) as flow:
        flow.order()
        body = {"type": "ORDER", "systemOrigin": "APP", "externalOrderNumber": "gs-1"}
        assert flow.post("/tenants/7/stores/70/orders", body).status_code == 409


def test_given_an_order_of_a_store_when_changed_through_another_then_404() -> None:
    with serve(stores=(Store("71"),)) as flow:
        order = flow.order()
        assert flow.get(f"/tenants/7/orders/{order}").status_code == 200
        assert flow.get(f"/tenants/7/stores/71/orders/{order}/settlements").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"unitPrice": 199.0}, 400),
        ({"unitPrice": "19900"}, 400),
        ({"unitPrice": True}, 400),
        ({"unitPrice": -1}, 400),
        ({"quantityOrdered": 0}, 400),
        ({"quantityOrdered": 1.5}, 400),
        ({"productUid": "nope"}, 422),
        ({"productUid": "901", "quantityOrdered": 200}, 422),
        ({"productUid": "901", "unitPrice": 0}, 422),
    ],
)
def test_given_a_bad_item_when_added_then_it_is_refused(change: dict[str, object], status: int) -> None:
    with serve() as flow:
        order = flow.order()
        body = {"productUid": "900", "quantityOrdered": 100, "unitPrice": 19900, **change}
        answer = flow.post(f"/tenants/7/stores/70/orders/{order}/items", body)
        assert answer.status_code == status
        assert flow.read_order(order)["items"] == []


def test_given_items_when_added_then_quantities_are_x100() -> None:
    with serve() as flow:
        order = flow.order()
        assert flow.item(order, "900", 19900, quantityOrdered=150).json()["itemPrice"] == 29850
        assert flow.read_order(order)["orderTotals"]["totalAmount"] == 29850


def test_given_an_order_when_parked_or_cancelled_then_only_the_parked_one_can_be_settled() -> None:
    with serve() as flow:
        number = flow.sell("10")
        parked, cancelled = flow.redemption(number, 100), flow.redemption(number, 100)
        path = "/tenants/7/stores/70/orders/{}/status"
        assert flow.put(path.format(parked), {"status": "PARKED"}).status_code == 204
        assert flow.put(path.format(cancelled), {"status": "CANCELLED"}).status_code == 204
        assert flow.put(path.format(parked), {"status": "DONE"}).status_code == 400
        assert flow.read_order(parked)["orderState"] == "PARKED"
        assert flow.pay_with_card(parked, number, 100).status_code == 201
        assert flow.pay_with_card(cancelled, number, 100).status_code == 409
        assert flow.item(cancelled, "900", 1).status_code == 409
        assert flow.put(path.format(parked), {"status": "CANCELLED"}).status_code == 409


def test_given_an_order_paid_in_part_when_cancelled_then_409() -> None:
    with serve() as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 500)
        assert flow.pay_with_card(order, number, 200).status_code == 201
        assert (
            flow.put(f"/tenants/7/stores/70/orders/{order}/status", {"status": "CANCELLED"}).status_code
            == 409
        )
        assert flow.read_order(order)["settleState"] == "PARTLY_SETTLED"


def test_given_a_handling_when_added_then_it_has_not_started() -> None:
    with serve(cards=1) as flow:
        receipt = flow.search().json()["items"][0]
        for order in (flow.order(), receipt["orderUid"]):
            path = f"/tenants/7/stores/70/orders/{order}/handlings"
            assert flow.post(path, {"handlingUid": "5"}).json()["state"] == "NOT_STARTED"
            assert flow.get(path).json()["paging"]["totalCount"] == 1
            assert len(flow.read_order(order)["orderhandlings"]) == 1


def test_given_a_customer_when_made_then_an_order_can_name_it() -> None:
    with serve() as flow:
        person = {"firstname": "Kari", "lastname": "N", "email": "k@example.com", "mobile": "1"}
        answer = flow.post("/tenants/7/customers", {**person, "customerType": "PERSON"})
        assert answer.status_code == 201
        uid = answer.json()["customerUid"]
        assert flow.read_order(flow.order(customerUid=uid))["customerUid"] == uid
        body = {"type": "ORDER", "systemOrigin": "APP", "customerUid": "nobody"}
        assert flow.post("/tenants/7/stores/70/orders", body).status_code == 422


# flow.md §4: payment methods, extensions, countries, store.


def test_given_the_plain_profile_when_discovering_then_one_candidate_with_its_parameters() -> None:
    with serve() as flow:
        methods = flow.get("/tenants/7/paymentmethods").json()["items"]
        (giftcard,) = [one for one in methods if "GIFT" in one["settlementCode"]]
        assert giftcard["paymentMethod"]["paymentCode"] == giftcard["settlementCode"] == "GIFTCARD"
        assert [(one["key"], one["required"], one["type"]) for one in giftcard["parameters"]] == [
            ("cardNumber", True, "TEXT"),
            ("cvc", False, "TEXT"),
        ]
        assert set(giftcard) == {
            "active",
            "name",
            "description",
            "settlementCode",
            "paymentMethod",
            "tenantPaymentMethodUid",
            "allowRefund",
            "allowSale",
            "allowCashback",
            "parameters",
            "externalSystemMappings",
            "position",
            "visibility",
        }
        assert set(giftcard["paymentMethod"]) == {
            "allowRefund",
            "allowSale",
            "allowAmount",
            "allowCashback",
            "allowPrepayment",
            "requireExclusiveUse",
            "name",
            "parameters",
            "paymentCode",
        }


def test_given_the_renamed_profile_when_discovering_then_every_name_differs_and_it_pays() -> None:
    with serve(FlowBehaviour(payment_profile=PROFILE_RENAMED)) as flow:
        methods = flow.get("/tenants/7/paymentmethods").json()["items"]
        (giftcard,) = [one for one in methods if "GIFT" in one["settlementCode"]]
        assert (giftcard["name"], giftcard["settlementCode"]) == ("Gavekort", "FLOWGIFTCARD")
        assert [one["key"] for one in giftcard["parameters"]] == ["giftcard_ref", "pinCode"]
        number = flow.sell("10")
        parameters = [{"key": "giftcard_ref", "value": number}]
        order = flow.redemption(number, 400)
        uid = flow.method("FLOWGIFTCARD")
        assert flow.settle(order, 400, uid, parameters=parameters).status_code == 201
        assert flow.card(number).json()["balance"] == 600


def test_given_a_second_gift_method_when_discovering_then_two_candidates() -> None:
    with serve(FlowBehaviour(second_giftcard_method=True)) as flow:
        methods = flow.get("/tenants/7/paymentmethods").json()["items"]
        codes = [one["settlementCode"] for one in methods if "GIFT" in one["settlementCode"]]
        assert codes == ["GIFTCARD", "PAYEX_GIFTCARD"]
        number = flow.sell("10")
        order = flow.redemption(number, 400)
        parameters = [{"key": "payexCardNumber", "value": number}]
        answer = flow.settle(order, 400, flow.method("PAYEX_GIFTCARD"), parameters=parameters)
        assert code_of(answer) == "UNKNOWN_CARD"


def test_given_the_platform_list_when_read_then_the_tenant_is_required() -> None:
    with serve() as flow:
        answer = flow.get("/paymentmethods", tenantUid="7").json()
        assert {"CASH", "EXTERNAL", "GIFTCARD"} <= {one["paymentCode"] for one in answer["items"]}
        assert flow.get("/paymentmethods").status_code == 400
        assert flow.get("/paymentmethods", tenantUid="8").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"settlementCode": "EXTERNAL_WEB", "name": "Web"}, 201),
        (
            {"settlementCode": "EXTERNAL_WEB", "name": "Web", "paymentMethod": {"paymentCode": "EXTERNAL"}},
            201,
        ),
        ({"settlementCode": "WEB", "name": "Web", "paymentMethod": {"paymentCode": "EXTERNAL"}}, 422),
        ({"settlementCode": "EXTERNAL_", "name": "Web"}, 422),
        ({"settlementCode": "NOPE", "name": "Web"}, 422),
        ({"settlementCode": "EXTERNAL_SHOPIFY", "name": "Web"}, 409),
        ({"settlementCode": "EXTERNAL_WEB"}, 400),
        ({"settlementCode": "EXTERNAL_WEB", "name": "Web", "externalSystemMappings": [{}]}, 400),
    ],
)
def test_given_a_new_payment_method_when_made_then_its_code_must_fit(
    body: dict[str, object], status: int
) -> None:
    with serve() as flow:
        assert flow.post("/tenants/7/paymentmethods", body).status_code == status


def test_given_mappings_when_listing_by_system_code_then_only_those_are_found() -> None:
    with serve() as flow:
        mapping = {"systemCode": "OMNIUM", "externalId": "x"}
        body = {"settlementCode": "EXTERNAL_WEB", "name": "Web", "externalSystemMappings": [mapping]}
        flow.post("/tenants/7/paymentmethods", body)
        items = flow.get("/tenants/7/paymentmethods", systemCode="OMNIUM").json()["items"]
        assert [one["settlementCode"] for one in items] == ["EXTERNAL_WEB"]
        assert flow.method("EXTERNAL_WEB")


def test_given_the_extensions_when_read_then_the_gift_card_one_says_whether_it_is_on() -> None:
    with serve(FlowBehaviour(extension_active=False, extension_messages=("Not connected",))) as flow:
        for path in ("/extensions", "/tenants/7/extensions"):
            (one, _) = flow.get(path).json()["items"]
            assert (one["extensionCode"], one["active"]) == ("FLOWGIFTCARD", False)
            assert one["statusMessages"] == ["Not connected"]
            assert flow.get(f"{path}/{one['tenantExtensionUid']}").json() == one
            assert flow.get(f"{path}/nope").status_code == 404


@pytest.mark.parametrize(("currency", "country"), [("NOK", "NO"), ("SEK", "SE"), ("CHF", "XX")])
def test_given_a_currency_when_the_store_is_read_then_its_country_has_it(currency: str, country: str) -> None:
    with serve(currency=currency) as flow:
        assert flow.get("/tenants/7/stores/70").json()["countryCode"] == country
        countries = flow.get("/countries").json()["items"]
        assert [one["currency"] for one in countries if one["countryCode"] == country] == [currency]


# flow.md §1: lists.


@pytest.mark.parametrize("first", [0, 1])
def test_given_a_page_base_when_paging_then_pages_count_from_it(first: int) -> None:
    with serve(FlowBehaviour(first_page=first)) as flow:
        pages = [flow.get("/countries", pageNumber=first + n, pageSize=4).json() for n in range(3)]
        assert [len(page["items"]) for page in pages] == [4, 2, 0]
        assert pages[0]["paging"] == {"pageNumber": first, "pageSize": 4, "totalCount": 6}
        whole = flow.get("/countries", sortDirection="DESC").json()["items"]
        assert whole == (pages[0]["items"] + pages[1]["items"])[::-1]


@pytest.mark.parametrize(
    "query",
    [
        {"pageNumber": 0},
        {"pageNumber": "x"},
        {"pageSize": 0},
        {"pageSize": 1001},
        {"sortDirection": "UP"},
        {"sortBy": "name"},
    ],
)
def test_given_bad_paging_when_listing_then_400(query: dict[str, object]) -> None:
    with serve() as flow:
        assert flow.get("/countries", **query).status_code == 400


# flow.md §5: debit.


def test_given_funds_when_settling_with_the_card_then_the_money_is_gone_at_once() -> None:
    with serve() as flow:
        number = flow.sell("100")
        order = flow.redemption(number, 2550)
        answer = flow.pay_with_card(order, number, 2550)
        assert answer.status_code == 201
        settlement = answer.json()
        assert set(settlement) == SETTLEMENT_FIELDS
        assert settlement["externalPaymentReference"] == "gs-1"
        assert settlement["parameters"] == [{"key": "cardNumber", "value": number}]
        assert settlement["currency"] == {"amount": 2550, "code": "NOK", "exchangeRate": 100}
        assert (settlement["state"], settlement["status"]) == ("COMPLETED", "APPROVED")
        assert flow.card(number).json()["balance"] == 7450
        read = flow.read_order(order)
        assert read["settleState"] == "SETTLED"
        assert read["settlements"] == [settlement]
        listed = flow.get(f"/tenants/7/stores/70/orders/{order}/settlements").json()
        assert listed["items"] == [settlement]
        assert settlement["orderReceiptUid"]
        assert flow.truth(number)["transactions"][-1] == {
            "amount": "-25.50",
            "kind": "redeem",
            "reference": "gs-1",
            "time": "2026-03-01T12:00:00.000Z",
            "order_id": order,
        }


def test_given_a_settled_order_when_the_settlement_is_sent_again_then_409_and_once() -> None:
    with serve() as flow:
        number = flow.sell("100")
        order = flow.redemption(number, 1000)
        assert flow.pay_with_card(order, number, 1000).status_code == 201
        answer = flow.pay_with_card(order, number, 1000)
        assert (answer.status_code, code_of(answer)) == (409, "ORDER_SETTLED")
        assert flow.card(number).json()["balance"] == 9000


def test_given_two_cards_when_each_pays_a_part_then_both_are_debited() -> None:
    with serve() as flow:
        first, second = flow.sell("5"), flow.sell("20")
        order = flow.redemption(first, 1500)
        assert flow.pay_with_card(order, first, 500).status_code == 201
        assert flow.card(first).json()["balance"] == 0
        assert flow.read_order(order)["settlementTotals"] == {"settledAmount": 500, "remainingAmount": 1000}
        assert flow.pay_with_card(order, second, 1000).status_code == 201
        assert flow.read_order(order)["settleState"] == "SETTLED"
        assert flow.card(second).json()["balance"] == 1000


def prepare(flow: Flow, problem: str) -> str:
    number = flow.sell("10")
    match problem:
        case "INSUFFICIENT_FUNDS":
            flow.control("redeem", {"number": number, "amount": "9.99"})
        case "CARD_CLEARED":
            flow.put_card(number, {"status": "CLEARED"})
        case "CARD_EXPIRED":
            flow.control("expire", {"number": number})
        case "CARD_INACTIVE":
            flow.put_card(number, {"status": "INACTIVE"})
        case "CARD_BLOCKED":
            flow.control("block", {"number": number})
        case "UNKNOWN_CARD":
            number = "1111222233334444"
    return number


PROBLEMS = [
    "INSUFFICIENT_FUNDS",
    "CARD_CLEARED",
    "CARD_EXPIRED",
    "CARD_INACTIVE",
    "CARD_BLOCKED",
    "UNKNOWN_CARD",
]


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_given_a_card_that_cannot_pay_when_settling_then_422_and_no_money_moves(
    problem: str, listed: bool
) -> None:
    with serve(FlowBehaviour(declined_settlements_are_listed=listed)) as flow:
        number = prepare(flow, problem)
        truth = flow.session.get(f"{flow.url}/_sandbox/cards", timeout=5).json()
        order = flow.redemption(number, 500)
        answer = flow.pay_with_card(order, number, 500)
        assert (answer.status_code, code_of(answer)) == (422, problem)
        assert flow.session.get(f"{flow.url}/_sandbox/cards", timeout=5).json() == truth
        read = flow.read_order(order)
        assert read["settleState"] == "NOT_SETTLED"
        states = [(one["state"], one["status"], one["settledAt"]) for one in read["settlements"]]
        assert states == ([("FAILED", "DECLINED", None)] if listed else [])
        assert flow.pay_with_card(order, flow.sell("5"), 500).status_code == 201


@pytest.mark.parametrize(
    ("amount", "status"),
    [(501, 422), (0, 422), (-500, 422), (5.0, 400), ("500", 400), (None, 400), (True, 400), (500, 201)],
)
def test_given_an_amount_when_it_is_not_what_remains_then_it_is_refused(amount: object, status: int) -> None:
    with serve() as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 500)
        assert flow.pay_with_card(order, number, amount).status_code == status
        assert flow.card(number).json()["balance"] == (500 if status == 201 else 1000)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"parameters": []}, 400),
        ({"parameters": [{"key": "cvc", "value": "1"}]}, 400),
        ({"parameters": [{"key": "cardNumber", "value": "1"}, {"key": "extra", "value": "1"}]}, 400),
        ({"parameters": [{"key": "cardNumber", "value": "1 2"}]}, 400),
        ({"parameters": [{"key": "cardNumber"}]}, 400),
        ({"parameters": {"cardNumber": "1"}}, 400),
        ({"externalPaymentReference": "a b"}, 400),
        ({"externalPaymentReference": "a\n"}, 400),
        ({"storePaymentMethodUid": "nope"}, 404),
        ({"settlementCode": "CASH"}, 400),
        ({"settlementCode": "GIFTCARD"}, 201),
    ],
)
def test_given_a_settlement_request_when_it_is_malformed_then_it_is_refused(
    change: dict[str, object], status: int
) -> None:
    with serve() as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 500)
        assert flow.pay_with_card(order, number, 500, **change).status_code == status


def test_given_settlement_by_code_when_switched_on_then_the_code_is_enough() -> None:
    with serve(FlowBehaviour(settlement_by_code=True)) as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 500)
        path = f"/tenants/7/stores/70/orders/{order}/settlements"
        parameters = [{"key": "cardNumber", "value": number}]
        body = {"amount": 500, "settlementCode": "GIFTCARD", "parameters": parameters}
        assert flow.post(path, body).status_code == 201
        assert flow.post(path, body | {"settlementCode": "NOPE"}).status_code == 404


def test_given_debits_at_completion_when_paid_in_part_then_the_money_moves_at_the_end() -> None:
    with serve(FlowBehaviour(debit_moment=DebitMoment.AT_ORDER_SETTLED)) as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 1000)
        first = flow.pay_with_card(order, number, 400).json()
        assert (first["state"], first["status"]) == ("NOT_STARTED", "NEW")
        assert flow.card(number).json()["balance"] == 1000
        flow.control("redeem", {"number": number, "amount": 1})
        assert code_of(flow.pay_with_card(order, number, 600)) == "INSUFFICIENT_FUNDS"
        assert flow.card(number).json()["balance"] == 900
        flow.control("deposit", {"number": number, "amount": 1})
        assert flow.pay_with_card(order, number, 600).status_code == 201
        assert flow.card(number).json()["balance"] == 0
        states = {one["state"] for one in flow.read_order(order)["settlements"]}
        assert states == {"FAILED", "COMPLETED"}


def test_given_api_orders_without_effects_when_settling_then_no_card_moves() -> None:
    behaviour = FlowBehaviour(debit_by_api=False, issue_by_api=False, refund_by_api=False)
    with serve(behaviour) as flow:
        number = flow.sell("10")
        assert flow.pay_with_card(flow.redemption(number, 500), number, 500).status_code == 201
        assert flow.issue(POOL_NUMBER, 500).status_code == 201
        assert flow.card(POOL_NUMBER).status_code == 404
        assert flow.pay_with_card(flow.redemption(number, 500, type="RETURN"), number, 500).status_code == 201
        assert flow.card(number).json()["balance"] == 1000


def test_given_an_exclusive_method_when_combined_then_422() -> None:
    with serve() as flow:
        flow.post("/tenants/7/paymentmethods", {"settlementCode": "INVOICE", "name": "Invoice"})
        number = flow.sell("10")
        order = flow.redemption(number, 500)
        assert flow.settle(order, 200, flow.method("INVOICE")).status_code == 201
        assert code_of(flow.pay_with_card(order, number, 300)) == "METHOD_EXCLUSIVE"


def test_given_an_inactive_or_refund_only_method_when_settling_a_sale_then_422() -> None:
    with serve() as flow:
        for code, more in (("EXTERNAL_A", {"active": False}), ("EXTERNAL_B", {"allowSale": False})):
            flow.post("/tenants/7/paymentmethods", {"settlementCode": code, "name": code, **more})
            order = flow.redemption(flow.sell("1"), 100)
            assert flow.settle(order, 100, flow.method(code)).status_code == 422


def test_given_cash_when_more_is_given_then_the_order_is_settled() -> None:
    with serve() as flow:
        order = flow.redemption(flow.sell("1"), 100)
        assert flow.settle(order, 150, flow.method("CASH")).status_code == 201
        assert flow.read_order(order)["settlementTotals"]["remainingAmount"] == -50


# flow.md §5: issue and credit.


def test_given_a_number_chosen_by_the_caller_when_the_order_settles_then_the_card_is_issued() -> None:
    with serve() as flow:
        order = flow.order()
        assert flow.item(order, "901", 5000, externalId=POOL_NUMBER).json()["externalId"] == POOL_NUMBER
        assert flow.card(POOL_NUMBER).status_code == 404
        assert flow.settle(order, 5000, flow.method("EXTERNAL_SHOPIFY")).status_code == 201
        card = flow.card(POOL_NUMBER).json()
        assert (card["balance"], card["status"], card["brandName"]) == (5000, "ACTIVE", "Gavekort")
        assert flow.read_order(order)["items"][0]["externalId"] == POOL_NUMBER
        assert flow.truth(POOL_NUMBER)["transactions"][0]["reference"] == "gs-1"


def test_given_no_number_when_the_order_settles_then_flow_assigns_one() -> None:
    with serve() as flow:
        settled = flow.issue(None, 5000).json()
        order = settled["settlementUid"].partition("-")[0]
        number = flow.read_order(order)["items"][0]["externalId"]
        assert len(number) == 16
        assert flow.card(number).json()["balance"] == 5000


def test_given_a_pre_generated_card_when_sold_through_the_api_then_it_becomes_active() -> None:
    with serve() as flow:
        (card,) = flow.control("pregenerate", {"count": 1})["cards"]
        before = flow.card(card["number"]).json()
        assert (before["status"], before["balance"], before["validTo"]) == ("INACTIVE", 0, None)
        assert flow.issue(card["number"], 700).status_code == 201
        after = flow.card(card["number"]).json()
        assert (after["status"], after["balance"]) == ("ACTIVE", 700)
        assert after["validTo"] == "2029-02-28T12:00:00.000Z"


def test_given_a_suspended_card_that_was_activated_by_put_when_sold_then_422() -> None:
    with serve() as flow:
        (card,) = flow.control("pregenerate", {"count": 1})["cards"]
        flow.put_card(card["number"], {"status": "ACTIVE"})
        flow.put_card(card["number"], {"status": "INACTIVE"})
        assert code_of(flow.issue(card["number"], 700)) == "CARD_INACTIVE"


def test_given_an_existing_card_when_sold_again_then_it_is_loaded() -> None:
    with serve() as flow:
        number = flow.sell("10")
        assert flow.issue(number, 700).status_code == 201
        assert flow.card(number).json()["balance"] == 1700
        assert [one["kind"] for one in flow.truth(number)["transactions"]] == ["issue", "load"]


@pytest.mark.parametrize("problem", PROBLEMS[1:5])
def test_given_a_card_out_of_use_when_loaded_then_422_and_nothing_moves(problem: str) -> None:
    with serve() as flow:
        number = prepare(flow, problem)
        before = flow.truth(number)
        assert code_of(flow.issue(number, 700)) == problem
        assert flow.truth(number) == before


def test_given_a_card_of_another_brand_when_loaded_then_422() -> None:
    with serve() as flow:
        assert code_of(flow.issue(flow.sell(brand="creditvoucher"), 700)) == "WRONG_BRAND"


@pytest.mark.parametrize("number", ["12345678", "abcd1234abcd1234", "40000000000000021"])
def test_given_a_number_that_is_not_16_digits_when_issuing_then_422(number: str) -> None:
    with serve() as flow:
        assert code_of(flow.issue(number, 700)) == "BAD_CARD_NUMBER"
        assert flow.card(number).status_code == 404


def test_given_numbers_assigned_by_flow_when_the_caller_chooses_then_422_but_pool_cards_work() -> None:
    with serve(FlowBehaviour(caller_may_choose_number=False)) as flow:
        assert code_of(flow.issue(POOL_NUMBER, 700)) == "UNKNOWN_CARD"
        (card,) = flow.control("pregenerate", {"count": 1})["cards"]
        assert flow.issue(card["number"], 700).status_code == 201
        assert flow.issue(None, 700).status_code == 201


def test_given_another_item_field_when_issuing_then_only_that_field_names_the_card() -> None:
    with serve(FlowBehaviour(item_number_key="giftcardNumber")) as flow:
        order = flow.order()
        answer = flow.item(order, "901", 500, externalId="mine", giftcardNumber=POOL_NUMBER).json()
        assert (answer["externalId"], answer["giftcardNumber"]) == ("mine", POOL_NUMBER)
        assert flow.settle(order, 500, flow.method("EXTERNAL_SHOPIFY")).status_code == 201
        assert flow.card(POOL_NUMBER).json()["balance"] == 500


def test_given_one_new_number_on_two_items_when_settled_then_422() -> None:
    with serve() as flow:
        order = flow.order()
        for _ in range(2):
            flow.item(order, "901", 500, externalId=POOL_NUMBER)
        answer = flow.settle(order, 1000, flow.method("EXTERNAL_SHOPIFY"))
        assert code_of(answer) == "BAD_CARD_NUMBER"
        assert flow.card(POOL_NUMBER).status_code == 404


def test_given_an_issue_settled_in_part_then_the_card_appears_with_the_last_part() -> None:
    with serve() as flow:
        order = flow.order()
        flow.item(order, "901", 500, externalId=POOL_NUMBER)
        method = flow.method("EXTERNAL_SHOPIFY")
        flow.settle(order, 200, method)
        assert flow.card(POOL_NUMBER).status_code == 404
        flow.settle(order, 300, method)
        assert flow.card(POOL_NUMBER).json()["balance"] == 500


# flow.md §5: reverse a debit.


def test_given_a_return_order_when_settled_with_the_card_then_it_is_credited() -> None:
    with serve() as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 400, type="RETURN")
        assert flow.pay_with_card(order, number, -400).status_code == 422
        assert flow.pay_with_card(order, number, 400).status_code == 201
        assert flow.card(number).json()["balance"] == 1400
        assert flow.truth(number)["transactions"][-1]["kind"] == "refund"
        assert flow.pay_with_card(order, number, 400).status_code == 409


def test_given_negative_refunds_when_settling_a_return_then_the_sign_is_demanded() -> None:
    with serve(FlowBehaviour(refund_amounts_negative=True)) as flow:
        number = flow.sell("10")
        order = flow.redemption(number, 400, type="RETURN")
        assert flow.pay_with_card(order, number, 400).status_code == 422
        assert flow.pay_with_card(order, number, -400).status_code == 201
        assert flow.card(number).json()["balance"] == 1400
        assert flow.read_order(order)["settlementTotals"]["remainingAmount"] == 0


def test_given_a_cleared_card_when_refunded_then_422() -> None:
    with serve() as flow:
        number = prepare(flow, "CARD_CLEARED")
        order = flow.redemption(number, 400, type="RETURN")
        assert code_of(flow.pay_with_card(order, number, 400)) == "CARD_CLEARED"


def test_given_a_return_order_when_a_gift_card_is_its_item_then_422() -> None:
    with serve() as flow:
        assert flow.item(flow.order(type="RETURN"), "901", 400).status_code == 422


def test_given_a_sales_token_when_returning_then_403() -> None:
    with serve(tokens={"sales": {Permission.SALES_ORDER}}) as flow:
        sales = replace(flow, token="sales")
        body = {"type": "RETURN", "systemOrigin": "APP"}
        assert sales.post("/tenants/7/stores/70/orders", body).status_code == 403
        refund = flow.redemption(flow.sell("1"), 100, type="RETURN")
        assert sales.settle(refund, 100, flow.method("CASH")).status_code == 403
        assert sales.read_order(refund)["type"] == "RETURN"
