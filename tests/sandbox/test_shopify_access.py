"""Tokens and scopes (shopify.md §2)."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, urlsplit

import pytest

from sandbox.shopify import ALL_SCOPES
from sandbox.shopify.http.emulator import CLIENT_ID
from tests.sandbox.conftest_shopify import CREATE, CREDIT, SECRET, Shop, money, running_shop

READ_CARD = "query($id: ID!) { giftCard(id: $id) { id transactions(first: 1) { nodes { id } } } }"


def without(*scopes: str) -> tuple[str, ...]:
    return tuple(scope for scope in ALL_SCOPES if scope not in scopes)


def test_given_a_wrong_token_then_401_with_a_json_body() -> None:
    with running_shop() as shop:
        response = shop.post({"query": "{ shop { name } }"}, token="wrong")
        assert response.status_code == 401
        assert "Invalid API key or access token" in response.json()["errors"]


@pytest.mark.parametrize(
    ("missing", "query", "field", "scope"),
    [
        ("write_gift_cards", "{ giftCardsCount { count } }", "giftCardsCount", "read_gift_cards"),
        (
            "write_gift_card_transactions",
            '{ giftCard(id: "gid://shopify/GiftCard/1") { transactions(first: 1) { nodes { id } } } }',
            "transactions",
            "read_gift_card_transactions",
        ),
        (
            "write_customers",
            '{ giftCard(id: "gid://shopify/GiftCard/1") { customer { id } } }',
            "customer",
            "read_customers",
        ),
        (
            "read_orders",
            '{ giftCard(id: "gid://shopify/GiftCard/1") { order { name } } }',
            "order",
            "read_orders",
        ),
        (
            "write_gift_cards",
            '{ node(id: "gid://shopify/GiftCard/1") { id } }',
            "node",
            "read_gift_cards",
        ),
    ],
)
def test_given_a_missing_scope_then_the_root_field_is_null_and_access_denied(
    missing: str, query: str, field: str, scope: str
) -> None:
    with running_shop(scopes=without(missing)) as shop:
        answer = shop.run(query)
        (root,) = answer["data"].values()
        (error,) = answer["errors"]
        assert root is None
        assert error["message"] == (
            f"Access denied for {field} field. Required access: `{scope}` access scope."
        )
        assert error["extensions"] == {
            "code": "ACCESS_DENIED",
            "documentation": "https://shopify.dev/api/usage/access-scopes",
            "requiredAccess": f"`{scope}` access scope.",
        }


def test_given_no_scope_for_money_when_a_card_is_credited_then_denied_and_unchanged() -> None:
    with running_shop(scopes=without("write_gift_card_transactions")) as shop:
        card = shop.create("10")
        answer = shop.run(CREDIT, id=card, input={"creditAmount": money("1")})
        assert answer["data"] == {"giftCardCredit": None}
        assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
        assert shop.cards()[card]["balance"] == "10.00"


def test_given_no_customer_scope_when_a_card_names_a_customer_then_denied() -> None:
    with running_shop(scopes=without("write_customers")) as shop:
        wanted = {"initialAmount": money("1"), "customerId": "gid://shopify/Customer/1"}
        answer = shop.run(CREATE, input=wanted)
        assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
        assert shop.cards() == {}


def test_given_one_denied_alias_then_the_others_are_answered() -> None:
    with running_shop(scopes=without("read_orders")) as shop:
        answer = shop.run('{ shop { name } order(id: "gid://shopify/Order/1") { id } }')
        assert answer["data"]["shop"] is not None
        assert answer["data"]["order"] is None


def test_given_an_old_order_when_read_all_orders_is_missing_then_it_is_not_seen() -> None:
    with running_shop(scopes=without("read_all_orders")) as shop:
        order_id = shop.control("purchase", amount=10, name="A B", email="a@b.no").json()["order_id"]
        query = "query($id: ID!) { order(id: $id) { id } orders(first: 5) { nodes { id } } }"
        assert shop.data(query, id=order_id)["order"] == {"id": order_id}
        shop.clocks.advance(61 * 86_400)
        assert shop.data(query, id=order_id) == {"order": None, "orders": {"nodes": []}}


def test_given_the_installation_then_scopes_are_listed_as_granted() -> None:
    with running_shop(scopes=("write_gift_cards",)) as shop:
        answer = shop.run("{ currentAppInstallation { accessScopes { handle } } }")
        assert answer["data"]["currentAppInstallation"]["accessScopes"] == [{"handle": "write_gift_cards"}]
        assert answer["extensions"]["cost"]["requestedQueryCost"] == 2


def token_request(shop: Shop, **form: str) -> dict[str, object]:
    response = shop.session.post(
        f"{shop.url}/admin/oauth/access_token",
        data={"client_id": CLIENT_ID, "client_secret": SECRET, **form},
        timeout=10,
    )
    answer: dict[str, object] = response.json()
    return answer


def token_works(shop: Shop, token: object) -> bool:
    return shop.post({"query": "{ shop { name } }"}, token=str(token)).status_code == 200


def test_given_client_credentials_then_a_token_for_a_day_without_refresh_token() -> None:
    with running_shop() as shop:
        answer = token_request(shop, grant_type="client_credentials")
        assert answer["expires_in"] == 86_399
        assert answer["scope"] == ",".join(ALL_SCOPES)
        assert "refresh_token" not in answer
        assert token_works(shop, answer["access_token"])
        shop.clocks.advance(86_399)
        assert not token_works(shop, answer["access_token"])


def test_given_a_wrong_client_secret_then_no_token() -> None:
    with running_shop() as shop:
        assert token_request(shop, grant_type="client_credentials", client_secret="x").keys() == {
            "error",
            "error_description",
        }


def authorize(shop: Shop) -> dict[str, str]:
    response = shop.session.get(
        f"{shop.url}/admin/oauth/authorize",
        params={
            "client_id": CLIENT_ID,
            "scope": "write_gift_cards,read_orders",
            "redirect_uri": "http://127.0.0.1:1/callback",
            "state": "nonce",
        },
        allow_redirects=False,
        timeout=10,
    )
    assert response.status_code == 302
    return dict(parse_qsl(urlsplit(response.headers["Location"]).query))


def test_given_an_authorization_then_the_callback_is_signed_and_the_code_works_once() -> None:
    with running_shop() as shop:
        callback = authorize(shop)
        signed = callback.pop("hmac")
        message = "&".join(f"{key}={value}" for key, value in sorted(callback.items()))
        assert hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest() == signed
        assert callback["state"] == "nonce"
        assert callback["shop"] == "giftsync-sandbox.myshopify.com"
        answer = token_request(shop, code=callback["code"])
        assert answer.keys() == {"access_token", "scope"}
        assert answer["scope"] == "write_gift_cards,read_orders"
        assert token_works(shop, answer["access_token"])
        assert "error" in token_request(shop, code=callback["code"])


def test_given_an_expiring_token_when_refreshed_then_the_old_one_lives_until_the_new_is_used() -> None:
    with running_shop() as shop:
        first = token_request(shop, code=authorize(shop)["code"], expiring="1")
        assert first["expires_in"] == 3_600
        shop.clocks.advance(3_600)
        assert not token_works(shop, first["access_token"])
        lost = token_request(shop, grant_type="refresh_token", refresh_token=str(first["refresh_token"]))
        assert lost["refresh_token"] != first["refresh_token"]
        again = token_request(shop, grant_type="refresh_token", refresh_token=str(first["refresh_token"]))
        assert token_works(shop, again["access_token"])
        last = token_request(shop, grant_type="refresh_token", refresh_token=str(again["refresh_token"]))
        assert token_works(shop, last["access_token"])
        assert "error" in token_request(
            shop, grant_type="refresh_token", refresh_token=str(first["refresh_token"])
        )
