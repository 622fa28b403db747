"""Shopify's answer to an installation: believed only when everything about it is right."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.shopify.install import Installation, NotShopify

SHOP = "kaffe.myshopify.com"
SECRET = "hush"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BACK = "http://127.0.0.1:8723/shopify/callback"


def installation(base_url: str | None = None) -> Installation:
    return Installation(SHOP, "app-id", SECRET, BACK, base_url, state="the-state")


def answer(secret: str = SECRET, **changes: str) -> list[tuple[str, str]]:
    """As Shopify sends it: hmac over the sorted query without itself (shopify.md §2)."""
    params = {
        "code": "abc123",
        "host": "YWRtaW4",
        "shop": SHOP,
        "state": "the-state",
        "timestamp": str(int(NOW.timestamp())),
    } | changes
    params = {name: value for name, value in params.items() if value}
    message = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    signature = hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()
    return [*params.items(), ("hmac", signature)]


def test_the_address_names_the_app_the_scopes_and_the_way_back() -> None:
    url = urlsplit(installation().permission_url())
    assert (url.scheme, url.netloc, url.path) == ("https", SHOP, "/admin/oauth/authorize")
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query == {
        "client_id": "app-id",
        "scope": "write_gift_cards,write_gift_card_transactions,read_orders",
        "redirect_uri": BACK,
        "state": "the-state",
    }
    assert SECRET not in url.query


def test_a_sandbox_is_asked_where_it_is() -> None:
    url = installation("http://127.0.0.1:9000").permission_url()
    assert url.startswith("http://127.0.0.1:9000/admin/oauth/authorize?")


def test_two_installations_have_two_states() -> None:
    one, other = (Installation(SHOP, "app-id", SECRET, BACK) for _ in range(2))
    assert one.state != other.state
    assert len(one.state) >= 32


def test_shopifys_answer_gives_the_code() -> None:
    assert installation().code_of(answer(), NOW) == "abc123"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (answer(state="another"), "does not belong"),
        (answer(state=""), "does not belong"),
        (answer(secret="guessed"), "signature"),
        (answer()[:-1], "signature"),
        ([*answer()[:-1], ("hmac", "æøå")], "signature"),
        (answer(shop="te.myshopify.com"), "another shop"),
        (answer(shop=f"{SHOP}.evil.example"), "another shop"),
        (answer(timestamp=str(int((NOW - timedelta(hours=1)).timestamp()))), "too old"),
        (answer(timestamp=str(int((NOW + timedelta(hours=1)).timestamp()))), "too old"),
        (answer(timestamp=""), "too old"),
        (answer(timestamp="soon"), "too old"),
        (answer(timestamp="9" * 30), "too old"),
        (answer(code=""), "no code"),
        ([*answer(), ("shop", SHOP)], "twice"),
        ([], "does not belong"),
    ],
)
def test_any_other_answer_is_refused(query: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(NotShopify, match=words) as caught:
        installation().code_of(query, NOW)
    assert SECRET not in str(caught.value)


def test_the_process_wide_session_is_left_alone() -> None:
    from shopify import Session

    installation().permission_url()
    installation().code_of(answer(), NOW)
    assert (Session.api_key, Session.secret) == (None, None)
    assert SECRET not in repr(installation())
