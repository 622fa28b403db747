"""Shopify's own Node libraries work against the sandbox unchanged, and agree with us on webhooks.

make node && .venv/bin/pytest tests/sandbox/test_shopify_node.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors.shopify.webhooks import is_signed
from sandbox.shopify import ShopifyBehaviour
from tests.sandbox.conftest_shopify import SECRET, TOKEN, Shop, running_shop

FOLDER = Path(__file__).parents[1] / "node"
SECONDS_MAX = 60
BODIES = ['{"id":1,"name":"#1001"}', '{"id":2,"name":"blåbærsyltetøy 🫐"}', "{}", ""]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (FOLDER / "node_modules").exists(),
        reason="needs Node 20 and Shopify's libraries: `make node` installs them",
    ),
]


@pytest.fixture(scope="module")
def came() -> list[dict[str, Any]]:
    """The deliveries that the emulated shop made."""
    return []


@pytest.fixture(scope="module")
def inbox(came: list[dict[str, Any]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            came.append({"headers": dict(self.headers.items()), "body": body})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/shopify"
    server.shutdown()
    server.server_close()
    thread.join(SECONDS_MAX)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with running_shop(behaviour=ShopifyBehaviour(webhooks_https_only=False)) as shop:
        yield shop


@pytest.fixture(scope="module")
def node(shop: Shop, inbox: str, came: list[dict[str, Any]]) -> dict[str, Any]:
    """What the libraries found."""
    for topic in ("ORDERS_PAID", "ORDER_TRANSACTIONS_CREATE"):
        shop.run(
            """mutation Subscribe($topic: WebhookSubscriptionTopic!, $uri: String!) {
              webhookSubscriptionCreate(topic: $topic, webhookSubscription: {uri: $uri}) {
                userErrors { message }
              }
            }""",
            topic=topic,
            uri=inbox,
        )
    shop.control("purchase", amount="100", name="Kari Nordmann", email="kari@example.com")
    shop.control("deliver")
    given = {
        "url": shop.url,
        "shop": shop.emulator.state.shop,
        "token": TOKEN,
        "secret": SECRET,
        "deliveries": came,
        "bodies": BODIES,
    }
    done = subprocess.run(
        ["node", "conformance.mjs"],
        cwd=FOLDER,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_official_client_makes_credits_and_reads_a_card(node: dict[str, Any]) -> None:
    found = node["client"]

    made = found["made"]["giftCardCreate"]
    assert (made["giftCard"]["balance"], made["giftCardCode"]) == (
        {"amount": "25.5", "currencyCode": "NOK"},
        "nodetest2026",
    )
    assert found["cost"]["throttleStatus"]["maximumAvailable"] == 2000
    assert found["shown"]["giftCard"]["balance"] == {"amount": "30.0"}
    (entry,) = found["shown"]["giftCard"]["transactions"]["nodes"]
    assert entry == {
        "__typename": "GiftCardCreditTransaction",
        "amount": {"amount": "4.5"},
        "note": "from node",
    }


def test_the_official_client_understands_what_is_refused(node: dict[str, Any]) -> None:
    found = node["client"]

    (error,) = found["again"]["giftCardCreate"]["userErrors"]
    assert error == {"field": ["input", "code"], "code": None, "message": "Code has already been taken"}
    assert found["wrong"] == ["undefinedField"]


def test_the_official_library_proves_the_sandboxs_deliveries_and_no_forged_one(node: dict[str, Any]) -> None:
    found = node["webhooks"]

    topics = {one["topic"].upper().replace("/", "_") for one in found["validated"]}
    assert topics == {"ORDERS_PAID", "ORDER_TRANSACTIONS_CREATE"}
    assert all(one["valid"] for one in found["validated"])
    assert found["refused"] is False


def test_what_the_official_library_signs_is_proved_here(node: dict[str, Any]) -> None:
    signed = node["webhooks"]["signed"]

    assert len(signed) == len(BODIES)
    for body, signature in zip(BODIES, signed, strict=True):
        assert is_signed([SECRET], body.encode(), signature)
        assert not is_signed(["another"], body.encode(), signature)
