"""Shopify in the sandbox: how it is served, what its settings are, and what shoppers do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.shopify.http.emulator import CLIENT_ID, ShopifyEmulator
from sandbox.shopify.shop.behaviour import ShopifyBehaviour

SHOP: Final = "giftsync-sandbox{}.myshopify.com"


def make(options: Options) -> Made:
    token, api_secret = f"sandbox-{secrets.token_hex(16)}", f"sandbox-{secrets.token_hex(16)}"
    shop = SHOP.format("" if options.number == 1 else f"-{options.number}")
    emulator = ShopifyEmulator(
        token=token,
        api_secret=api_secret,
        shop=shop,
        currency=options.currency,
        plan=options.plan,
        seed=options.own_seed,
        cards=options.cards,
        latency_ms=options.latency_ms,
        behaviour=ShopifyBehaviour(webhooks_https_only=not options.local_webhooks),
    )
    return Made(emulator, {"shop": shop, "token": token, "api_secret": api_secret})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    return {
        "shop": access["shop"],
        "token": access["token"],
        "client_id": CLIENT_ID,
        "client_secret": access["api_secret"],
        "url": access["url"],
        "attaching_notifies": False,
    }


SHOPIFY: Final = Emulated(
    name="shopify",
    what="a shop",
    where="online (Shopify)",
    access=("shop", "token", "api_secret"),
    make=make,
    settings=settings,
    people=People(
        "shopper",
        (
            Act(Deed.SELL, "purchase", "sold online", 2, named=True),
            Act(Deed.SPEND, "checkout", "spent online", 6),
            Act(Deed.REFUND, "refund", "refunded online", 1),
        ),
    ),
    serial="code",
)
