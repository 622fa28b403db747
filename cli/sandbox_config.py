"""A giftsync.toml for the sandbox, from the line that `sandbox serve` prints.

The sandbox's Flow is known, so everything that a merchant must find out about a tenant is switched on here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from cli.emulators import Address
from cli.errors import OperatorError
from config.template import Values, render_toml
from sandbox.flow import FlowBehaviour
from sandbox.flow.catalog import BRANDS_DEFAULT, PRODUCT_ONLINE_REDEMPTION, Store
from sandbox.flow.payments import PaymentMethods, store_method_uid
from sandbox.shopify.http.emulator import CLIENT_ID


@dataclass(frozen=True)
class Pace:
    """How eagerly the worker looks, how long it waits, and how many cards it works on at the same time."""

    #: The sandbox answers at once; nothing lands later than this.
    quiet_seconds: float = 5
    poll_seconds: float = 2
    threads: int = 8


PACE = Pace()
DEMO_PACE = Pace(quiet_seconds=2, poll_seconds=1, threads=16)
HEAD = """The settings of giftsync for its sandbox, made by `giftsync sandbox config`.
The tokens are worth nothing: they open the emulators on this machine only."""

_FORM = '{"shopify": {"url", "shop", "token", "api_secret"}, "flow": {"url", "tenant", "store", "token"}}'


def parse_ready_line(text: str) -> Address:
    """Read the line that `sandbox serve` prints. Raises OperatorError, which never shows the line."""
    remedy = "Pipe the line that `giftsync sandbox serve` prints into `giftsync sandbox config`."
    if not text.strip():
        raise OperatorError("nothing came on standard input", remedy)
    try:
        line = json.loads(text)
        shopify, flow = line["shopify"], line["flow"]
        found = [
            *(shopify[key] for key in ("url", "shop", "token", "api_secret")),
            *(flow[key] for key in ("url", "tenant", "store", "token")),
        ]
    except (ValueError, KeyError, TypeError):
        found = []
    if len(found) != 8 or not all(isinstance(value, str) and value for value in found):
        raise OperatorError(f"standard input is not the sandbox's line: {_FORM}", remedy)
    return Address(*found)


def sandbox_toml(address: Address, pace: Pace = PACE) -> str:
    """The whole file, commented."""
    return render_toml(sandbox_values(address, pace), head=HEAD)


def sandbox_values(address: Address, pace: Pace = PACE) -> Values:
    """The sandbox's settings by key path."""
    store = Store(address.store)
    behaviour = FlowBehaviour()
    methods = PaymentMethods(behaviour, (store,))
    uid_of = {method.settlement_code: store_method_uid(store, method) for method in methods.tenant}
    external = behaviour.external_settlement_codes[0]
    return {
        ("link", "timezone"): "Europe/Oslo",
        ("link", "quiet_seconds"): pace.quiet_seconds,
        ("link", "shopify_serial_prefix"): "9900",
        ("worker", "poll_seconds"): pace.poll_seconds,
        ("worker", "threads"): pace.threads,
        ("shopify", "shop"): address.shop,
        ("shopify", "token"): address.shopify_token,
        ("shopify", "client_id"): CLIENT_ID,
        ("shopify", "client_secret"): address.api_secret,
        ("shopify", "url"): address.shopify_url,
        ("shopify", "attaching_notifies"): False,
        ("flow", "tenant"): address.tenant,
        ("flow", "store"): address.store,
        ("flow", "token"): address.flow_token,
        ("flow", "url"): f"{address.flow_url}/v2",
        ("flow", "debit_product_uid"): PRODUCT_ONLINE_REDEMPTION,
        ("flow", "gift_card_product_uids"): {brand.name: brand.product_uid for brand in BRANDS_DEFAULT},
        ("flow", "default_brand"): BRANDS_DEFAULT[0].name,
        ("flow", "item_number_field"): behaviour.item_number_key,
        ("flow", "external_settlement_code"): external,
        ("flow", "gift_card_payment_method_uid"): uid_of[methods.giftcard.settlement_code],
        ("flow", "external_payment_method_uid"): uid_of[external],
        ("flow", "api_settlement_debits"): True,
        ("flow", "api_issue_allowed"): True,
        ("flow", "caller_may_choose_number"): True,
        ("flow", "refund_settlement_credits"): True,
    }
