"""Gift-card writes: what they do, and every user error of shopify.md §4."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from sandbox.shopify import ShopifyBehaviour
from tests.sandbox.conftest_shopify import (
    CREATE,
    CREDIT,
    DEACTIVATE,
    DEBIT,
    UPDATE,
    Shop,
    money,
    running_shop,
)

UNKNOWN_CARD = "gid://shopify/GiftCard/999999999999"
UNKNOWN_CUSTOMER = "gid://shopify/Customer/999999999999"
PATH_OF_AMOUNT = ["input", "initialAmount", "amount"]


def read(shop: Shop, card: str) -> dict[str, Any]:
    query = """
    query($id: ID!) { giftCard(id: $id) {
      enabled deactivatedAt createdAt updatedAt note expiresOn templateSuffix lastCharacters maskedCode
      isRedeemable crossCurrencyRedemptionStrategy order { id } lineItem { id } customer { id }
      balance { amount currencyCode } initialValue { amount }
      transactions(first: 50) { nodes { __typename id amount { amount } note processedAt } }
    } }
    """
    found: dict[str, Any] = shop.data(query, id=card)["giftCard"]
    return found


class TestCreate:
    def test_given_nothing_but_an_amount_then_a_card_with_a_16_character_code(self, shop: Shop) -> None:
        payload = shop.payload(CREATE, input={"initialAmount": money("5.00")})
        code = payload["giftCardCode"]
        assert len(code) == 16
        assert code == code.lower()
        card = payload["giftCard"]
        assert card["balance"] == {"amount": "5.0", "currencyCode": "NOK"}
        assert card["lastCharacters"] == code[-4:]
        assert card["maskedCode"] == f"•••• •••• •••• {code[-4:]}"
        seen = read(shop, card["id"])
        assert seen["transactions"]["nodes"] == []
        assert seen["createdAt"] == seen["updatedAt"] == "2026-07-15T10:00:00Z"
        assert (seen["note"], seen["expiresOn"], seen["order"], seen["lineItem"]) == (None, None, None, None)
        assert seen["crossCurrencyRedemptionStrategy"] == "MARKET_FX"

    def test_given_an_own_code_then_it_is_lower_cased_and_stripped(self, shop: Shop) -> None:
        payload = shop.payload(CREATE, input={"initialAmount": money("5"), "code": "ABcd-1234 xy"})
        assert payload["giftCardCode"] == "abcd1234xy"
        assert payload["giftCard"]["lastCharacters"] == "34xy"

    def test_given_initial_value_then_the_shop_currency_is_used(self, shop: Shop) -> None:
        payload = shop.payload(CREATE, input={"initialValue": "41.01"})
        assert payload["giftCard"]["balance"] == {"amount": "41.01", "currencyCode": "NOK"}

    def test_given_a_past_expiry_then_it_is_accepted_and_the_card_is_expired(self, shop: Shop) -> None:
        card = shop.create("5", expiresOn="2020-01-01")
        assert read(shop, card)["expiresOn"] == "2020-01-01"
        assert shop.cards()[card]["status"] == "expired"

    def test_given_a_prefixed_template_suffix_then_the_prefix_is_stripped(self, shop: Shop) -> None:
        assert (
            read(shop, shop.create("5", templateSuffix="gift_card.birthday"))["templateSuffix"] == "birthday"
        )

    def test_given_a_foreign_currency_then_the_strategy_is_none(self, shop: Shop) -> None:
        payload = shop.payload(CREATE, input={"initialAmount": money("5", "SEK")})
        assert read(shop, payload["giftCard"]["id"])["crossCurrencyRedemptionStrategy"] == "NONE"

    @pytest.mark.parametrize(
        ("wanted", "field", "code", "message"),
        [
            ({"initialValue": "0"}, ["input", "initialValue"], "GREATER_THAN", "must be greater than 0"),
            ({"initialValue": "-1"}, ["input", "initialValue"], "GREATER_THAN", "must be greater than 0"),
            ({"initialAmount": money("0")}, PATH_OF_AMOUNT, "GREATER_THAN", "must be greater than 0"),
            (
                {"initialValue": "20000.01"},
                ["input", "initialValue"],
                "GIFT_CARD_LIMIT_EXCEEDED",
                "can't exceed kr 20,000.00 NOK",
            ),
            (
                {"code": "abc"},
                ["input", "code"],
                "TOO_SHORT",
                "Code must be at least 8 characters long",
            ),
            (
                {"code": "x" * 25},
                ["input", "code"],
                "TOO_LONG",
                "Code must be at most 20 characters long",
            ),
            (
                {"code": "bad!code"},
                ["input", "code"],
                "INVALID",
                "Code can only contain letters(a-z) and numbers(0-9)",
            ),
            ({"code": "taken-0001"}, ["input", "code"], None, "Code has already been taken"),
            (
                {"code": "abc", "customerId": UNKNOWN_CUSTOMER},
                ["input", "customerId"],
                "CUSTOMER_NOT_FOUND",
                "The customer could not be found.",
            ),
            (
                {"recipientAttributes": {"id": UNKNOWN_CUSTOMER}},
                ["input", "recipientAttributes", "id"],
                "RECIPIENT_NOT_FOUND",
                "Recipient could not be found",
            ),
            ({"initialAmount": None}, ["input", "initialAmount"], "MISSING_ARGUMENT", "can't be blank"),
            (
                {"initialAmount": money("0.001")},
                PATH_OF_AMOUNT,
                "INVALID",
                "must be a whole number of cents",
            ),
            (
                {"note": "n" * 256},
                ["input", "note"],
                "INVALID",
                "Note is too long (maximum is 255 characters)",
            ),
        ],
    )
    def test_given_a_bad_input_then_its_user_error_and_no_card(
        self, shop: Shop, wanted: dict[str, Any], field: list[str], code: str | None, message: str
    ) -> None:
        shop.create("1", code="TAKEN0001")
        opening = {} if "initialValue" in wanted else {"initialAmount": money("10")}
        payload = shop.payload(CREATE, input={**opening, **wanted})
        assert payload == {
            "giftCard": None,
            "giftCardCode": None,
            "userErrors": [{"field": field, "code": code, "message": message}],
        }
        assert len(shop.cards()) == 1

    def test_given_exactly_the_issue_limit_then_it_is_allowed(self, shop: Shop) -> None:
        assert read(shop, shop.create("20000"))["balance"]["amount"] == "20000.0"

    def test_given_a_recorded_cad_shop_then_the_limit_message_is_the_recorded_one(self) -> None:
        behaviour = ShopifyBehaviour(issue_limit=Decimal(3000), purchase_limit=Decimal(14000))
        with running_shop(behaviour=behaviour, currency="CAD") as shop:
            payload = shop.payload(CREATE, input={"initialValue": "3000.01"})
            assert payload["userErrors"][0]["message"] == "can't exceed $3,000.00 CAD"
            configuration = shop.data(
                "{ giftCardConfiguration { issueLimit { amount } purchaseLimit { amount } } }"
            )["giftCardConfiguration"]
            assert configuration == {
                "issueLimit": {"amount": "3000.0"},
                "purchaseLimit": {"amount": "14000.0"},
            }

    def test_given_a_deactivated_card_then_its_code_stays_taken(self, shop: Shop) -> None:
        card = shop.create("1", code="oldcode01")
        shop.payload(DEACTIVATE, id=card)
        payload = shop.payload(CREATE, input={"initialAmount": money("1"), "code": "OLDCODE01"})
        assert payload["userErrors"][0]["message"] == "Code has already been taken"

    @pytest.mark.parametrize(
        ("recipient", "key", "message"),
        [
            ({"message": "  "}, "message", "Message can't be blank"),
            ({"preferredName": ""}, "preferredName", "Preferred name can't be blank"),
            ({"message": "<b>x</b>"}, "message", "Message cannot contain HTML tags"),
            ({"preferredName": "<i>"}, "preferredName", "Preferred name cannot contain HTML tags"),
            (
                {"sendNotificationAt": "2026-07-14T00:00:00Z"},
                "sendNotificationAt",
                "Send notification at must be within 90 days from now",
            ),
            (
                {"sendNotificationAt": "2027-01-01T00:00:00Z"},
                "sendNotificationAt",
                "Send notification at must be within 90 days from now",
            ),
        ],
    )
    def test_given_bad_recipient_attributes_then_invalid(
        self, shop: Shop, recipient: dict[str, str], key: str, message: str
    ) -> None:
        customer = shop.customer(email="a@example.com")
        wanted = {"initialAmount": money("1"), "recipientAttributes": {"id": customer, **recipient}}
        assert shop.payload(CREATE, input=wanted)["userErrors"] == [
            {"field": ["input", "recipientAttributes", key], "code": "INVALID", "message": message}
        ]

    def test_given_too_long_a_message_then_a_top_level_error_and_the_other_aliases_run(
        self, shop: Shop
    ) -> None:
        customer = shop.customer(email="a@example.com")
        query = """
        mutation($bad: GiftCardCreateInput!, $good: GiftCardCreateInput!) {
          bad: giftCardCreate(input: $bad) { giftCardCode }
          good: giftCardCreate(input: $good) { giftCardCode }
        }
        """
        recipient = {"id": customer, "message": "m" * 201}
        answer = shop.run(
            query,
            bad={"initialAmount": money("1"), "recipientAttributes": recipient},
            good={"initialAmount": money("2")},
        )
        (error,) = answer["errors"]
        assert error["message"] == "message is too long (maximum is 200)"
        assert error["extensions"]["code"] == "INVALID_FIELD_ARGUMENTS"
        assert error["path"] == ["bad"]
        assert answer["data"]["bad"] is None
        assert answer["data"]["good"]["giftCardCode"]
        assert [card["balance"] for card in shop.cards().values()] == ["2.00"]

    def test_given_a_plan_without_gift_cards_then_refused_without_field_and_code(self) -> None:
        with running_shop(behaviour=ShopifyBehaviour(gift_cards_in_plan=False)) as shop:
            assert shop.data("{ shop { features { giftCards } } }")["shop"]["features"]["giftCards"] is False
            assert shop.payload(CREATE, input={"initialAmount": money("1")})["userErrors"] == [
                {"field": None, "code": None, "message": "Gift cards are unavailable on your plan."}
            ]

    def test_given_a_customer_gid_of_another_type_then_resource_not_found(self, shop: Shop) -> None:
        wanted = {"initialAmount": money("1"), "customerId": "gid://shopify/Order/1"}
        answer = shop.run(CREATE, input=wanted)
        assert answer["errors"][0]["extensions"]["code"] == "RESOURCE_NOT_FOUND"
        assert answer["data"] == {"giftCardCreate": None}


class TestCreditAndDebit:
    def test_given_a_card_when_moved_then_signs_order_and_sum_are_as_recorded(self, shop: Shop) -> None:
        card = shop.create("5")
        credit = shop.payload(CREDIT, id=card, input={"creditAmount": money("2.00"), "note": "op-1"})
        debit = shop.payload(DEBIT, id=card, input={"debitAmount": money("3")})
        assert credit["giftCardCreditTransaction"]["amount"] == {"amount": "2.0", "currencyCode": "NOK"}
        assert credit["giftCardCreditTransaction"]["giftCard"]["balance"]["amount"] == "7.0"
        assert debit["giftCardDebitTransaction"]["amount"]["amount"] == "-3.0"
        assert debit["giftCardDebitTransaction"]["note"] is None
        seen = read(shop, card)
        assert seen["balance"]["amount"] == "4.0"
        assert seen["initialValue"]["amount"] == "5.0"
        assert [
            (one["__typename"], one["amount"]["amount"], one["note"]) for one in seen["transactions"]["nodes"]
        ] == [("GiftCardCreditTransaction", "2.0", "op-1"), ("GiftCardDebitTransaction", "-3.0", None)]

    def test_given_transactions_then_ids_are_of_one_growing_sequence(self, shop: Shop) -> None:
        card = shop.create("5")
        credit = shop.payload(CREDIT, id=card, input={"creditAmount": money("1")})
        debit = shop.payload(DEBIT, id=card, input={"debitAmount": money("1")})
        ids = [
            card,
            credit["giftCardCreditTransaction"]["id"],
            debit["giftCardDebitTransaction"]["id"],
        ]
        assert [gid.rsplit("/", 1)[0] for gid in ids] == [
            "gid://shopify/GiftCard",
            "gid://shopify/GiftCardCreditTransaction",
            "gid://shopify/GiftCardDebitTransaction",
        ]
        numbers = [int(gid.rsplit("/", 1)[1]) for gid in ids]
        assert numbers == sorted(set(numbers))

    def test_given_a_processed_at_then_it_is_kept_in_utc(self, shop: Shop) -> None:
        wanted = {"creditAmount": money("1"), "processedAt": "2026-07-01T12:00:00.9+02:00"}
        payload = shop.payload(CREDIT, id=shop.create("5"), input=wanted)
        assert payload["giftCardCreditTransaction"]["processedAt"] == "2026-07-01T10:00:00Z"

    @pytest.mark.parametrize("moves", [False, True])
    def test_given_a_credit_then_updated_at_moves_only_if_the_behaviour_says_so(self, moves: bool) -> None:
        behaviour = ShopifyBehaviour(search_lag_s=0, updated_at_moves_on_credit_debit=moves)
        with running_shop(behaviour=behaviour) as shop:
            card = shop.create("5")
            shop.clocks.advance(60)
            shop.payload(CREDIT, id=card, input={"creditAmount": money("1")})
            expected = "2026-07-15T10:01:00Z" if moves else "2026-07-15T10:00:00Z"
            assert read(shop, card)["updatedAt"] == expected

    @pytest.mark.parametrize(
        ("wanted", "path", "code", "message"),
        [
            (money("0"), ["amount"], "NEGATIVE_OR_ZERO_AMOUNT", "A positive amount must be used."),
            (money("-1"), ["amount"], "NEGATIVE_OR_ZERO_AMOUNT", "A positive amount must be used."),
            (
                money("1", "SEK"),
                ["currencyCode"],
                "MISMATCHING_CURRENCY",
                "The currency provided does not match the currency of the gift card.",
            ),
            (money("0.001"), ["amount"], "INVALID", "must be a whole number of cents"),
        ],
    )
    @pytest.mark.parametrize(
        ("query", "owner", "key", "transaction"),
        [
            (CREDIT, "creditInput", "creditAmount", "giftCardCreditTransaction"),
            (DEBIT, "debitInput", "debitAmount", "giftCardDebitTransaction"),
        ],
    )
    def test_given_a_bad_amount_then_its_user_error(
        self,
        shop: Shop,
        query: str,
        owner: str,
        key: str,
        transaction: str,
        wanted: dict[str, str],
        path: list[str],
        code: str,
        message: str,
    ) -> None:
        card = shop.create("10")
        payload = shop.payload(query, id=card, input={key: wanted})
        assert payload == {
            transaction: None,
            "userErrors": [{"field": [owner, key, *path], "code": code, "message": message}],
        }
        assert shop.cards()[card]["balance"] == "10.00"

    def test_given_too_little_when_debited_then_insufficient_funds_and_no_partial_debit(
        self, shop: Shop
    ) -> None:
        card = shop.create("10")
        payload = shop.payload(DEBIT, id=card, input={"debitAmount": money("10.01")})
        assert payload["userErrors"] == [
            {
                "field": ["debitInput", "debitAmount", "amount"],
                "code": "INSUFFICIENT_FUNDS",
                "message": "The gift card does not have sufficient funds to satisfy the request.",
            }
        ]
        assert shop.cards()[card]["balance"] == "10.00"
        shop.payload(DEBIT, id=card, input={"debitAmount": money("10")})
        assert shop.cards()[card]["balance"] == "0.00"

    def test_given_the_limit_when_credited_then_exactly_is_allowed_and_a_cent_more_is_not(
        self, shop: Shop
    ) -> None:
        card = shop.create("19999")
        assert shop.payload(CREDIT, id=card, input={"creditAmount": money("1.01")})["userErrors"] == [
            {
                "field": ["creditInput", "creditAmount", "amount"],
                "code": "GIFT_CARD_LIMIT_EXCEEDED",
                "message": "The gift card's value exceeds the allowed limits.",
            }
        ]
        assert shop.payload(CREDIT, id=card, input={"creditAmount": money("1")})["userErrors"] == []

    @pytest.mark.parametrize(("query", "key"), [(CREDIT, "creditAmount"), (DEBIT, "debitAmount")])
    def test_given_an_expired_or_deactivated_card_then_invalid_at_id(
        self, shop: Shop, query: str, key: str
    ) -> None:
        expired = shop.create("10", expiresOn="2026-07-14")
        deactivated = shop.create("10")
        shop.payload(DEACTIVATE, id=deactivated)
        for card, message in (
            (expired, "The gift card has expired."),
            (deactivated, "The gift card is deactivated."),
        ):
            assert shop.payload(query, id=card, input={key: money("1")})["userErrors"] == [
                {"field": ["id"], "code": "INVALID", "message": message}
            ]

    @pytest.mark.parametrize(
        ("query", "owner", "key"),
        [(CREDIT, "creditInput", "creditAmount"), (DEBIT, "debitInput", "debitAmount")],
    )
    @pytest.mark.parametrize(
        ("instant", "message"),
        [
            ("2026-07-15T10:00:01Z", "The processed date must not be in the future."),
            ("1969-12-31T23:59:59Z", "A valid processed date must be used."),
        ],
    )
    def test_given_a_bad_processed_at_then_invalid(
        self, shop: Shop, query: str, owner: str, key: str, instant: str, message: str
    ) -> None:
        wanted = {key: money("1"), "processedAt": instant}
        assert shop.payload(query, id=shop.create("10"), input=wanted)["userErrors"] == [
            {"field": [owner, "processedAt"], "code": "INVALID", "message": message}
        ]

    def test_given_an_unknown_card_then_not_found_and_another_type_is_a_top_level_error(
        self, shop: Shop
    ) -> None:
        wanted = {"creditAmount": money("1")}
        assert shop.payload(CREDIT, id=UNKNOWN_CARD, input=wanted)["userErrors"] == [
            {
                "field": ["id"],
                "code": "GIFT_CARD_NOT_FOUND",
                "message": "The gift card could not be found.",
            }
        ]
        answer = shop.run(CREDIT, id="gid://shopify/Customer/1", input=wanted)
        assert answer["errors"][0]["message"] == "Invalid id: gid://shopify/Customer/1"
        assert answer["errors"][0]["extensions"]["code"] == "RESOURCE_NOT_FOUND"

    def test_given_a_card_expiring_today_then_it_works_until_midnight_in_the_shop(self, shop: Shop) -> None:
        card = shop.create("10", expiresOn="2026-07-15")
        wanted = {"creditAmount": money("1")}
        # 12:00 in Oslo; midnight there is 22:00 UTC.
        shop.clocks.advance(12 * 3_600 - 1)
        assert shop.payload(CREDIT, id=card, input=wanted)["userErrors"] == []
        shop.clocks.advance(1)
        assert shop.payload(CREDIT, id=card, input=wanted)["userErrors"][0]["code"] == "INVALID"


class TestUpdate:
    def test_given_values_then_they_are_set_and_null_clears_them(self, shop: Shop) -> None:
        card = shop.create("10")
        wanted = {"note": "n", "expiresOn": "2030-01-01", "templateSuffix": "gift_card.x"}
        assert shop.payload(UPDATE, id=card, input=wanted)["giftCard"] | {"updatedAt": ""} == {
            "id": card,
            "note": "n",
            "expiresOn": "2030-01-01",
            "templateSuffix": "x",
            "updatedAt": "",
            "customer": None,
        }
        shop.payload(UPDATE, id=card, input=dict.fromkeys(wanted))
        seen = read(shop, card)
        assert (seen["note"], seen["expiresOn"], seen["templateSuffix"]) == (None, None, None)

    def test_given_no_change_then_updated_at_moves_all_the_same(self, shop: Shop) -> None:
        card = shop.create("10", note="n")
        shop.clocks.advance(5)
        assert shop.payload(UPDATE, id=card, input={"note": "n"})["giftCard"]["updatedAt"].endswith(
            "10:00:05Z"
        )

    def test_given_an_update_then_the_balance_has_no_field(self, shop: Shop) -> None:
        answer = shop.run(UPDATE, id=shop.create("10"), input={"balance": "1"})
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE"

    def test_given_errors_then_they_have_no_code_field(self, shop: Shop) -> None:
        query = (
            "mutation($id: ID!) { giftCardUpdate(id: $id, input: {}) { userErrors { field message code } } }"
        )
        answer = shop.run(query, id=UNKNOWN_CARD)
        assert answer["errors"][0]["extensions"]["code"] == "undefinedField"

    @pytest.mark.parametrize(
        ("wanted", "field", "message"),
        [
            ({}, ["input"], "At least one argument is required in the input."),
            (
                {"customerId": UNKNOWN_CUSTOMER},
                ["input", "customerId"],
                "The customer could not be found.",
            ),
            (
                {"recipientAttributes": {"id": UNKNOWN_CUSTOMER}},
                ["input", "recipientAttributes", "id"],
                "Recipient could not be found",
            ),
        ],
    )
    def test_given_a_bad_input_then_its_user_error(
        self, shop: Shop, wanted: dict[str, Any], field: list[str], message: str
    ) -> None:
        assert shop.payload(UPDATE, id=shop.create("1"), input=wanted) == {
            "giftCard": None,
            "userErrors": [{"field": field, "message": message}],
        }

    def test_given_an_unknown_card_then_an_error_at_id(self, shop: Shop) -> None:
        assert shop.payload(UPDATE, id=UNKNOWN_CARD, input={"note": "x"})["userErrors"] == [
            {"field": ["id"], "message": "The gift card could not be found."}
        ]

    def test_given_a_deactivated_card_then_expiry_is_checked_before_customer_and_a_note_is_allowed(
        self, shop: Shop
    ) -> None:
        card, customer = shop.create("1"), shop.customer(firstName="A")
        shop.payload(DEACTIVATE, id=card)
        for wanted, key in (
            ({"customerId": customer, "expiresOn": "2030-01-01"}, "expiresOn"),
            ({"recipientAttributes": {"id": customer}, "customerId": customer}, "customerId"),
            ({"recipientAttributes": {"id": customer}}, "recipientAttributes"),
        ):
            assert shop.payload(UPDATE, id=card, input=wanted)["userErrors"] == [
                {"field": ["input", key], "message": "The gift card is deactivated."}
            ]
        assert shop.payload(UPDATE, id=card, input={"note": "x"})["userErrors"] == []

    def test_given_a_customer_once_set_then_it_cannot_be_changed(self, shop: Shop) -> None:
        first, second = shop.customer(firstName="A"), shop.customer(firstName="B")
        card = shop.create("1")
        assert shop.payload(UPDATE, id=card, input={"customerId": first})["userErrors"] == []
        assert shop.payload(UPDATE, id=card, input={"customerId": first})["userErrors"] == []
        assert shop.payload(UPDATE, id=card, input={"customerId": second})["userErrors"][0]["field"] == [
            "input",
            "customerId",
        ]
        assert read(shop, card)["customer"] == {"id": first}


class TestDeactivate:
    def test_given_a_card_then_it_is_disabled_for_good_and_keeps_its_balance(self, shop: Shop) -> None:
        card = shop.create("4")
        first = shop.payload(DEACTIVATE, id=card)["giftCard"]
        shop.clocks.advance(60)
        second = shop.payload(DEACTIVATE, id=card)
        assert first == {
            "enabled": False,
            "deactivatedAt": "2026-07-15T10:00:00Z",
            "updatedAt": "2026-07-15T10:00:00Z",
            "balance": {"amount": "4.0"},
        }
        assert second == {"giftCard": first, "userErrors": []}
        assert shop.cards()[card]["status"] == "disabled"
        assert read(shop, card)["isRedeemable"] is False

    def test_given_an_unknown_card_then_not_found(self, shop: Shop) -> None:
        assert shop.payload(DEACTIVATE, id=UNKNOWN_CARD)["userErrors"] == [
            {
                "field": ["id"],
                "code": "GIFT_CARD_NOT_FOUND",
                "message": "The gift card could not be found.",
            }
        ]


def notify(shop: Shop, card: str, who: str) -> dict[str, Any]:
    name = f"giftCardSendNotificationTo{who}"
    selected = "giftCard { id } userErrors { field code message }"
    query = f"mutation($id: ID!) {{ {name}(id: $id) {{ {selected} }} }}"
    return shop.payload(query, id=card)


class TestNotifications:
    @pytest.mark.parametrize("who", ["Customer", "Recipient"])
    def test_given_cards_that_cannot_be_sent_then_their_user_errors(self, shop: Shop, who: str) -> None:
        nobody = shop.create("1")
        silent = shop.customer(firstName="No Contact")
        silent_card = shop.create("1", customerId=silent, recipientAttributes={"id": silent})
        expired = shop.create("1", expiresOn="2020-01-01")
        deactivated = shop.create("1")
        shop.payload(DEACTIVATE, id=deactivated)
        lower = who.lower()
        no_contact = f"The {lower} has no contact information (e.g. email address or phone number)."
        for card, field, code, message in (
            (UNKNOWN_CARD, ["id"], "GIFT_CARD_NOT_FOUND", "The gift card could not be found."),
            (deactivated, ["id"], "INVALID", "The gift card is deactivated."),
            (expired, ["id"], "INVALID", "The gift card has expired."),
            (nobody, None, "INVALID", f"The gift card has no {lower}."),
            (silent_card, None, "INVALID", no_contact),
        ):
            assert notify(shop, card, who) == {
                "giftCard": None,
                "userErrors": [{"field": field, "code": code, "message": message}],
            }
        assert shop.stats()["notifications"] == 0

    def test_given_a_customer_attached_by_update_when_notified_then_it_is_counted(self, shop: Shop) -> None:
        card, customer = shop.create("1"), shop.customer(email="a@example.com")
        shop.payload(UPDATE, id=card, input={"customerId": customer})
        assert shop.stats()["notifications"] == 0
        assert notify(shop, card, "Customer")["userErrors"] == []
        assert shop.stats()["notifications"] == 1
        assert shop.cards()[card]["notifications"] == [
            {
                "to": "a@example.com",
                "cause": "giftCardSendNotificationToCustomer",
                "at": "2026-07-15T10:00:00Z",
            }
        ]

    def test_given_a_customer_at_creation_then_shopify_sends_the_card(self, shop: Shop) -> None:
        card = shop.create("1", customerId=shop.customer(email="a@example.com"))
        assert [sent["cause"] for sent in shop.cards()[card]["notifications"]] == ["giftCardCreate"]

    def test_given_a_scheduled_recipient_then_it_is_sent_when_the_time_has_come(self, shop: Shop) -> None:
        recipient = {
            "id": shop.customer(email="b@example.com"),
            "sendNotificationAt": "2026-07-16T10:00:00Z",
        }
        card = shop.create("1", recipientAttributes=recipient)
        assert shop.cards()[card]["notifications"] == []
        shop.clocks.advance(86_400)
        assert [sent["to"] for sent in shop.cards()[card]["notifications"]] == ["b@example.com"]


class TestCustomers:
    def test_given_a_taken_or_bad_contact_then_user_errors(self, shop: Shop) -> None:
        query = (
            "mutation($input: CustomerInput!) "
            "{ customerCreate(input: $input) { customer { id } userErrors { field message } } }"
        )
        shop.customer(email="Ola@Example.com", phone="+4790000000")
        for wanted, field, message in (
            ({"email": "ola@example.com"}, ["email"], "Email has already been taken"),
            ({"email": "nope"}, ["email"], "Email is invalid"),
            ({"phone": "+4790000000"}, ["phone"], "Phone has already been taken"),
            ({"phone": "call me"}, ["phone"], "Phone is invalid"),
            ({}, None, "A customer must have a name, phone number or email address"),
        ):
            assert shop.payload(query, input=wanted) == {
                "customer": None,
                "userErrors": [{"field": field, "message": message}],
            }

    def test_given_a_customer_then_it_is_found_by_identifier_and_search(self, shop: Shop) -> None:
        customer = shop.customer(email="kari@example.com", firstName="Kari", lastName="Moe")
        query = """
        query($id: ID!) {
          customer(id: $id) { displayName defaultEmailAddress { emailAddress } numberOfOrders }
          customerByIdentifier(identifier: {emailAddress: "KARI@example.com"}) { id }
          customers(first: 5, query: "email:kari@example.com") { nodes { id } }
        }
        """
        assert shop.data(query, id=customer) == {
            "customer": {
                "displayName": "Kari Moe",
                "defaultEmailAddress": {"emailAddress": "kari@example.com"},
                "numberOfOrders": "0",
            },
            "customerByIdentifier": {"id": customer},
            "customers": {"nodes": [{"id": customer}]},
        }
