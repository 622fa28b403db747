"""Maestra in the sandbox: how it is served, what its settings are, and what people do.

Nobody buys a card here: nothing tells giftsync of one, so it would be known only once its pool is imported.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from babel.numbers import get_currency_precision

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.maestra.emulator import (
    CALCULATE,
    CANCEL,
    ENDPOINT,
    PAY,
    SELL,
    TECHNICAL_PRODUCT,
    MaestraEmulator,
)
from sandbox.maestra.project import KNOWN_ORDER, NO_CARD


def make(options: Options) -> Made:
    if get_currency_precision(options.currency) != 2:
        raise ValueError(f"the emulated Maestra has no {options.currency}: its money has two decimals")
    key = f"sandbox-{secrets.token_hex(16)}"
    endpoint = ENDPOINT if options.number == 1 else f"{ENDPOINT}-{options.number}"
    emulator = MaestraEmulator(key=key, endpoint=endpoint, latency_ms=options.latency_ms)
    emulator.sell_earlier(options.cards, options.own_seed)
    return Made(emulator, {"endpoint": endpoint, "key": key, "currency": options.currency})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    return {
        "url": access["url"],
        "endpoint": access["endpoint"],
        "key": access["key"],
        "currency": access["currency"],
        "calculate_operation": CALCULATE,
        "pay_operation": PAY,
        "sell_operation": SELL,
        "cancel_operation": CANCEL,
        "debit_product": TECHNICAL_PRODUCT,
        "pool_product": "pool-standard",
        "imports_new_cards": True,
        "absent_reasons": [NO_CARD],
        "known_order_reasons": [KNOWN_ORDER],
        "gather_seconds": 2,
        "polls_per_second": 50 if demo else 5,
    }


MAESTRA: Final = Emulated(
    name="maestra",
    what="Maestra",
    where="in Maestra",
    access=("endpoint", "key", "currency"),
    make=make,
    settings=settings,
    people=People("customer", (Act(Deed.SPEND, "redeem", "spent where Maestra's cards are taken", 1),)),
    tells_sales=False,
    cannot_follow=frozenset({Deed.LOAD, Deed.REFUND}),
)
