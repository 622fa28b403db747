"""Flow Retail in the sandbox: how it is served, what its settings are, and what cashiers do."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from sandbox.emulated import Act, Deed, Emulated, Made, Options, People
from sandbox.flow.behaviour import FlowBehaviour
from sandbox.flow.catalog import BRANDS_DEFAULT, PRODUCT_ONLINE_REDEMPTION, Store
from sandbox.flow.emulator import FlowEmulator
from sandbox.flow.payments import PaymentMethods, store_method_uid

#: Of the first; others count from there.
TENANT: Final = 7
STORE: Final = "70"


def make(options: Options) -> Made:
    token = f"sandbox-{secrets.token_hex(16)}"
    tenant = str(TENANT + options.number - 1)
    emulator = FlowEmulator(
        tenant=tenant,
        store=STORE,
        token=token,
        currency=options.currency,
        seed=options.own_seed,
        cards=options.cards,
        latency_ms=options.latency_ms,
        behaviour=FlowBehaviour(till_orders_show_customer=options.till_customers),
    )
    return Made(emulator, {"tenant": tenant, "store": STORE, "token": token})


def settings(access: Mapping[str, str], demo: bool) -> Mapping[str, object]:
    store = Store(access["store"])
    behaviour = FlowBehaviour()
    methods = PaymentMethods(behaviour, (store,))
    uid_of = {method.settlement_code: store_method_uid(store, method) for method in methods.tenant}
    external = behaviour.external_settlement_codes[0]
    return {
        "tenant": access["tenant"],
        "store": access["store"],
        "token": access["token"],
        "url": f"{access['url']}/v2",
        "debit_product_uid": PRODUCT_ONLINE_REDEMPTION,
        "gift_card_product_uids": {brand.name: brand.product_uid for brand in BRANDS_DEFAULT},
        "default_brand": BRANDS_DEFAULT[0].name,
        "item_number_field": behaviour.item_number_key,
        "external_settlement_code": external,
        "gift_card_payment_method_uid": uid_of[methods.giftcard.settlement_code],
        "external_payment_method_uid": uid_of[external],
        "api_settlement_debits": True,
        "api_issue_allowed": True,
        "caller_may_choose_number": True,
        "refund_settlement_credits": True,
        "order_settles_once": True,
    }


FLOW: Final = Emulated(
    name="flow",
    what="a store",
    where="in the store (Flow)",
    access=("tenant", "store", "token"),
    make=make,
    settings=settings,
    people=People(
        "cashier",
        (
            Act(Deed.SELL, "sell", "sold in the store", 2),
            Act(Deed.SPEND, "redeem", "spent in the store", 6),
            Act(Deed.LOAD, "deposit", "loaded in the store", 2),
        ),
    ),
    pool_call="pregenerate",
)
