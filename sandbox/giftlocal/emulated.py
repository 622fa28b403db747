"""Gift Local in the sandbox: how it is served, what its settings are, and what people do.

Nobody buys a gift here: nothing tells giftsync of one, so it would be known only once its code is imported.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from babel.numbers import get_currency_precision

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.giftlocal.behaviour import GiftLocalBehaviour
from sandbox.giftlocal.emulator import ACCOUNT, PROGRAM, STOREFRONT, GiftLocalEmulator


def make(options: Options) -> Made:
    if options.number > 1:
        raise ValueError("the emulated Gift Local has one account")
    if get_currency_precision(options.currency) != 2:
        raise ValueError(f"the emulated Gift Local has no {options.currency}: its money has two decimals")
    key = f"sandbox-{secrets.token_hex(16)}"
    behaviour = GiftLocalBehaviour(mints_once=True)
    emulator = GiftLocalEmulator(
        key=key, seed=options.seed, latency_ms=options.latency_ms, behaviour=behaviour
    )
    emulator.account.make_earlier(options.cards)
    return Made(emulator, {"account": ACCOUNT, "key": key, "currency": options.currency})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    behaviour = GiftLocalBehaviour()
    return {
        "url": access["url"],
        "key": access["key"],
        "account": access["account"],
        "currency": access["currency"],
        "promotional_field": behaviour.promotional_name,
        "spent_reasons": ["Fully redeemed"],
        "program": PROGRAM,
        "storefront": STOREFRONT,
        "mints_without_mailing": True,
        "mints_once": True,
        "reverse_path": behaviour.reverse_path,
        "redemption_field": behaviour.redemption_name,
        "polls_per_second": 50 if demo else 5,
    }


GIFT_LOCAL: Final = Emulated(
    name="giftlocal",
    what="Gift Local",
    where="in Gift Local",
    access=("account", "key", "currency"),
    make=make,
    settings=settings,
    people=People("guest", (Act(Deed.SPEND, "redeem", "spent where Gift Local is taken", 1),)),
    serial="code",
    tells_sales=False,
    cannot_follow=frozenset({Deed.LOAD, Deed.REFUND}),
)
