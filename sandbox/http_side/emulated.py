"""The shop of the HTTP contract in the sandbox: how it is served, its settings, and what shoppers do."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Final

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.http_side.emulator import HttpShopEmulator

#: How often changes are read and cards looked at, where nobody has to be spared.
DEMO_CHANGES_SECONDS: Final = 1
DEMO_LOOKS_PER_SECOND: Final = 50


def make(options: Options) -> Made:
    key = f"sandbox-{secrets.token_hex(16)}"
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    emulator = HttpShopEmulator(
        key=key,
        webhook_secret=secret,
        shop_id="sandbox-shop" if options.number == 1 else f"sandbox-shop-{options.number}",
        currency=options.currency,
        seed=options.own_seed,
        cards=options.cards,
        latency_ms=options.latency_ms,
    )
    return Made(emulator, {"key": key, "webhook_secret": secret})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    keys: dict[str, object] = {
        "url": f"{access['url']}/giftsync",
        "key": access["key"],
        "webhook_secret": access["webhook_secret"],
        "title": "Webshop",
        "key_applies_once": True,
    }
    if demo:
        keys |= {"changes_seconds": DEMO_CHANGES_SECONDS, "polls_per_second": DEMO_LOOKS_PER_SECOND}
    return keys


HTTP: Final = Emulated(
    name="http",
    what="a shop with the HTTP contract",
    where="in the webshop (HTTP contract)",
    access=("key", "webhook_secret"),
    make=make,
    settings=settings,
    people=People(
        "shopper",
        (
            Act(Deed.SELL, "sell", "sold in the webshop", 2),
            Act(Deed.SPEND, "redeem", "spent in the webshop", 6),
            Act(Deed.REFUND, "refund", "refunded in the webshop", 1),
            Act(Deed.LOAD, "load", "loaded in the webshop", 1),
        ),
    ),
)
