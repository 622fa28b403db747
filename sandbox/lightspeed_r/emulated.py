"""R-Series in the sandbox: how it is served, what its settings are, and what cashiers do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from babel.numbers import get_currency_precision

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.lightspeed_r.account import EMPLOYEE, GIFT_CARD, ONLINE_ITEM, PAID_ONLINE, REGISTER, SHOP
from sandbox.lightspeed_r.behaviour import LightspeedRBehaviour
from sandbox.lightspeed_r.emulator import ACCOUNT, BASE, LightspeedREmulator

#: Registers set the bucket: 10 more and 0.5 more a second for each.
REGISTERS: Final = {"standard": 10, "plus": 1_000}
LOOKS_PER_SECOND: Final = {"standard": 1, "plus": 50}


def make(options: Options) -> Made:
    if options.number > 1:
        raise ValueError("the emulated R-Series has one account")
    if get_currency_precision(options.currency) != 2:
        raise ValueError(f"the emulated R-Series has no {options.currency}: its money has two decimals")
    token = f"sandbox-{secrets.token_hex(16)}"
    emulator = LightspeedREmulator(
        token=token,
        seed=options.seed,
        cards=options.cards,
        latency_ms=options.latency_ms,
        behaviour=LightspeedRBehaviour(registers=REGISTERS[options.plan]),
    )
    return Made(emulator, {"account": ACCOUNT, "token": token, "currency": options.currency})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    behaviour = LightspeedRBehaviour()
    return {
        "account": access["account"],
        "token": access["token"],
        "url": f"{access['url']}{BASE}",
        "currency": access["currency"],
        "balance_sign": behaviour.sign,
        "employee_id": EMPLOYEE,
        "shop_id": SHOP,
        "register_id": REGISTER,
        "debit_item_id": ONLINE_ITEM,
        "external_payment_type": PAID_ONLINE,
        "gift_card_payment_type": GIFT_CARD,
        "marker_field": behaviour.marker_field,
        "sale_carries_marker": True,
        "timestamp_moves": True,
        "polls_per_second": LOOKS_PER_SECOND["plus" if demo else "standard"],
    }


LIGHTSPEED_R: Final = Emulated(
    name="lightspeed-r",
    what="a Lightspeed R-Series account",
    where="in the store (Lightspeed R-Series)",
    access=("account", "token", "currency"),
    make=make,
    settings=settings,
    people=People(
        "cashier",
        (
            Act(Deed.SELL, "sell", "sold in the R-Series store", 2),
            Act(Deed.SPEND, "redeem", "spent in the R-Series store", 6),
            Act(Deed.LOAD, "load", "loaded in the R-Series store", 2),
        ),
    ),
)
