"""How soon a webhook is answered: once it is proved and stored on the disk; every tenth comes twice.

    python -m bench receiver

Shopify waits 5 seconds for an answer; ours is meant to come within 100 ms. Deliveries come in at a steady
rate, then as fast as eight senders can. For comparison the same senders ask for `/health`, which stores
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import requests

from bench.pace import p99, wait_until
from connectors.shopify import ShopifySide
from console.receiver import create_receiver
from console.server import serve
from sync.ledger.database.engine import checkpoint, open_engine
from sync.ledger.database.migrations import upgrade
from sync.ledger.incoming.deliveries import Inbox
from sync.ledger.incoming.intake import Intake
from sync.ledger.secrets.vault import Vault, make_key
from sync.worker.service import CHECKPOINT_SECONDS
from sync.worker.ticker import Ticker

SHOP, SECRET = "bench.myshopify.com", "of-no-worth"
STEADY, PER_SECOND = 600, 40.0
BURST, SENDERS = 2_000, 8
ANSWER_MS_MAX = 100


def main() -> None:
    side = ShopifySide(
        shop=SHOP,
        token="none",
        base_url="http://127.0.0.1:1",
        webhook_secrets=[SECRET],
        pause=lambda seconds: None,
    )
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{Path(folder) / 'ledger.db'}")
        upgrade(engine)
        inbox = Inbox(Intake(engine, Vault(make_key())))
        app = create_receiver({"shopify": side}, inbox, lambda: datetime.now(UTC), lambda side, kept: None)
        with serve(app, "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port}"
            local = threading.local()

            def deliver(number: int) -> float:
                return _timed(lambda: _post(_session(local), f"{url}/webhooks/shopify", number))

            def ask(_: int) -> float:
                return _timed(lambda: _session(local).get(f"{url}/health", timeout=10))

            # As in the worker's process, where the receiver is.
            keeper = Ticker("checkpoint", CHECKPOINT_SECONDS, lambda: checkpoint(engine))
            keeper.start()
            with ThreadPoolExecutor(SENDERS) as senders:
                steady = list(senders.map(lambda n: _at(n, deliver), _paced(STEADY)))
                began = time.perf_counter()
                burst = list(senders.map(deliver, range(STEADY, STEADY + BURST)))
                rate = BURST / (time.perf_counter() - began)
                health = list(senders.map(ask, range(BURST)))
            keeper.stop()
            keeper.join(CHECKPOINT_SECONDS)
    side.close()
    print(
        f"{STEADY} deliveries at {PER_SECOND:g} a second: p50 {_ms(median(steady))}, p99 "
        f"{_ms(p99(steady))}, {p99(steady) * 1000 / ANSWER_MS_MAX:.2f} of the bound of {ANSWER_MS_MAX} ms"
    )
    print(
        f"{BURST} as fast as {SENDERS} can send, {rate:.0f} a second: p50 {_ms(median(burst))}, p99 "
        f"{_ms(p99(burst))}; {median(burst) / median(health):.1f} times as long as storing nothing"
    )


def _post(session: requests.Session, url: str, number: int) -> requests.Response:
    # Those that end in 9 are the ones before them, come twice.
    number -= number % 10 == 9
    receipt = json.dumps({"gift_card_id": number})
    order = {"id": number, "order_id": number, "gateway": "gift_card", "receipt": receipt}
    body = json.dumps(order).encode()
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    headers = {
        "X-Shopify-Hmac-Sha256": signature,
        "X-Shopify-Topic": "order_transactions/create",
        "X-Shopify-Shop-Domain": SHOP,
        "X-Shopify-Webhook-Id": f"bench-{number}",
    }
    return session.post(url, data=body, headers=headers, timeout=10)


def _timed(send: Callable[[], requests.Response]) -> float:
    began = time.perf_counter()
    send().raise_for_status()
    return time.perf_counter() - began


def _paced(count: int) -> list[tuple[int, float]]:
    start = time.monotonic()
    return [(number, start + number / PER_SECOND) for number in range(count)]


def _at(one: tuple[int, float], send: Callable[[int], float]) -> float:
    number, moment = one
    wait_until(moment)
    return send(number)


def _session(local: threading.local) -> requests.Session:
    if not hasattr(local, "session"):
        local.session = requests.Session()
    session: requests.Session = local.session
    return session


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
