"""X-Series in the sandbox: how it is served, what its settings are, and what cashiers do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from babel.numbers import get_currency_precision

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.lightspeed_x.behaviour import LightspeedXBehaviour
from sandbox.lightspeed_x.emulator import LightspeedXEmulator

PREFIX: Final = "giftsync-sandbox"
#: Registers set the limit of requests: 300 for each, plus 50, in five minutes.
REGISTERS: Final = {"standard": 10, "plus": 200}
#: Half of that limit, for looking at cards.
LOOKS_PER_SECOND: Final = {"standard": 5, "plus": 100}


def make(options: Options) -> Made:
    if get_currency_precision(options.currency) != 2:
        raise ValueError(f"the emulated X-Series has no {options.currency}: its money has two decimals")
    token = f"sandbox-{secrets.token_hex(16)}"
    emulator = LightspeedXEmulator(
        token=token,
        seed=options.own_seed,
        cards=options.cards,
        latency_ms=options.latency_ms,
        behaviour=LightspeedXBehaviour(registers=REGISTERS[options.plan]),
    )
    prefix = PREFIX if options.number == 1 else f"{PREFIX}-{options.number}"
    return Made(emulator, {"prefix": prefix, "token": token, "currency": options.currency})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    return {
        "prefix": access["prefix"],
        "token": access["token"],
        "url": access["url"],
        "currency": access["currency"],
        "client_id_applies_once": True,
        "polls_per_second": LOOKS_PER_SECOND["plus" if demo else "standard"],
    }


LIGHTSPEED_X: Final = Emulated(
    name="lightspeed-x",
    what="a Lightspeed X-Series retailer",
    where="in the store (Lightspeed X-Series)",
    access=("prefix", "token", "currency"),
    make=make,
    settings=settings,
    people=People(
        "cashier",
        (
            Act(Deed.SELL, "sell", "sold in the X-Series store", 2),
            Act(Deed.SPEND, "redeem", "spent in the X-Series store", 6),
            Act(Deed.LOAD, "load", "loaded in the X-Series store", 2),
        ),
    ),
)
