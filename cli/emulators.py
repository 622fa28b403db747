"""Both emulators on loopback ports, in one event loop: for `sandbox serve` and for the demo."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from cli.errors import OperatorError
from sandbox.emulator import Emulator
from sandbox.flow import FlowBehaviour, FlowEmulator
from sandbox.shopify import ShopifyBehaviour, ShopifyEmulator

SHOP = "giftsync-sandbox.myshopify.com"
TENANT = "7"
STORE = "70"
LOOPBACK = "127.0.0.1"
#: Connections that are still open at the end get this long.
SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True)
class SandboxOptions:
    """What `sandbox serve` and the demo may choose. Ports: 0 takes any free one."""

    shopify_port: int = 0
    flow_port: int = 0
    host: str = LOOPBACK
    seed: int = 0
    #: How many cards each side starts with.
    shopify_cards: int = 0
    flow_cards: int = 0
    latency_ms: int = 0
    plan: str = "standard"
    currency: str = "NOK"
    #: Whether Shopify delivers webhooks to plain http addresses of this machine, which the real one refuses.
    local_webhooks: bool = False
    #: Whether Flow's orders show the customer who was named at the till.
    till_customers: bool = False


@dataclass(frozen=True)
class Address:
    """Where both emulators answer, and how to be let in. The shape of `sandbox serve`'s ready line."""

    shopify_url: str
    shop: str
    shopify_token: str = field(repr=False)
    api_secret: str = field(repr=False)
    flow_url: str
    tenant: str
    store: str
    flow_token: str = field(repr=False)

    def as_json(self) -> Mapping[str, Mapping[str, str]]:
        return {
            "shopify": {
                "url": self.shopify_url,
                "shop": self.shop,
                "token": self.shopify_token,
                "api_secret": self.api_secret,
            },
            "flow": {
                "url": self.flow_url,
                "tenant": self.tenant,
                "store": self.store,
                "token": self.flow_token,
            },
        }


def check_loopback(host: str) -> str:
    """The address to bind. Raises OperatorError for anything that another machine could reach."""
    if host == "localhost":
        return LOOPBACK
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise OperatorError(
            f"the sandbox serves this machine only and does not bind {host}",
            "Leave --host out, or give a loopback address such as 127.0.0.1.",
        )
    return host


@asynccontextmanager
async def serving(options: SandboxOptions) -> AsyncIterator[Address]:
    """Serve both emulators until the block ends. Raises OperatorError for a port that cannot be had."""
    host = check_loopback(options.host)
    shopify_token, api_secret, flow_token = (f"sandbox-{secrets.token_hex(16)}" for _ in range(3))
    shopify = ShopifyEmulator(
        token=shopify_token,
        api_secret=api_secret,
        shop=SHOP,
        currency=options.currency,
        plan=options.plan,
        seed=options.seed,
        cards=options.shopify_cards,
        latency_ms=options.latency_ms,
        behaviour=ShopifyBehaviour(webhooks_https_only=not options.local_webhooks),
    )
    flow = FlowEmulator(
        tenant=TENANT,
        store=STORE,
        token=flow_token,
        currency=options.currency,
        seed=options.seed,
        cards=options.flow_cards,
        latency_ms=options.latency_ms,
        behaviour=FlowBehaviour(till_orders_show_customer=options.till_customers),
    )
    runners: list[web.AppRunner] = []
    try:
        shopify_url = await _start(shopify, host, options.shopify_port, "--shopify-port", runners)
        flow_url = await _start(flow, host, options.flow_port, "--flow-port", runners)
        yield Address(shopify_url, SHOP, shopify_token, api_secret, flow_url, TENANT, STORE, flow_token)
    finally:
        await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _start(emulator: Emulator, host: str, port: int, option: str, runners: list[web.AppRunner]) -> str:
    runner = web.AppRunner(emulator.application(), shutdown_timeout=SHUTDOWN_SECONDS, access_log=None)
    await runner.setup()
    runners.append(runner)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(
                f"port {port} is in use", f"Choose another with {option}, or 0 for any free one."
            ) from None
        raise OperatorError(
            f"port {port} cannot be opened: {error.strerror or 'not allowed'}",
            f"Choose another with {option}, or 0 for any free one.",
        ) from None
    bound = runner.addresses[0][1]
    return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
