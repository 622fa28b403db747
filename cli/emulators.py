"""The sandbox's emulators on loopback ports, in one event loop: for `sandbox serve` and for the demo."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from cli.errors import OperatorError
from sandbox.emulated import Made, Options
from sandbox.registry import PLACES, emulated, is_emulated, kind_and_number

#: What the sandbox serves unless it is asked for something else.
SIDES_DEFAULT = ("flow", "shopify")
LOOPBACK = "127.0.0.1"
PORT_MAX = 65_535
#: Connections that are still open at the end get this long.
SHUTDOWN_SECONDS = 1.0


@dataclass(frozen=True)
class SandboxOptions:
    """What `sandbox serve` and the demo may choose."""

    #: Types of systems; the second of a type is `shopify-2`.
    sides: tuple[str, ...] = SIDES_DEFAULT
    #: By type; 0 and what is not named: any free one.
    ports: Mapping[str, int] = field(default_factory=dict)
    host: str = LOOPBACK
    seed: int = 0
    #: How many cards each side starts with, by type.
    cards: Mapping[str, int] = field(default_factory=dict)
    latency_ms: int = 0
    plan: str = "standard"
    currency: str = "NOK"
    #: Whether Shopify delivers webhooks to plain http addresses of this machine, which the real one refuses.
    local_webhooks: bool = False
    #: Whether Flow's orders show the customer who was named at the till.
    till_customers: bool = False


@dataclass(frozen=True)
class Address:
    """Where each emulator answers, and how to be let in: what `sandbox serve` says when it is ready."""

    #: By system: `url`, and the keys that the type declares.
    sides: Mapping[str, Mapping[str, str]] = field(repr=False)

    def url(self, side: str) -> str:
        return self.sides[side]["url"]

    @property
    def flow_url(self) -> str:
        return self.url("flow")

    @property
    def shopify_url(self) -> str:
        return self.url("shopify")


def side_name(kind: str) -> str:
    """What the sandbox's side of a type is called in the link: the name of a table and of variables."""
    return kind.replace("-", "_")


def parse_sides(text: str) -> tuple[str, ...]:
    """The systems of a list such as `flow,shopify,shopify`, whose third is `shopify-2`.

    Raises OperatorError for a type that is no system of the sandbox and stands twice.
    """
    kinds = [kind_and_number(part.strip())[0] for part in text.split(",") if part.strip()]
    counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
    for kind, count in zip(kinds, counts, strict=True):
        if count > 1 and kind not in PLACES:
            raise OperatorError(f"{kind} is named twice in --sides", "There is one stand-in of each type.")
    return tuple(kind if count == 1 else f"{kind}-{count}" for kind, count in zip(kinds, counts, strict=True))


def check_emulated(kinds: Sequence[str]) -> None:
    """Raises OperatorError for a type that the sandbox does not have, and for none."""
    if not kinds:
        raise OperatorError("--sides names no system", f"The sandbox has: {', '.join(PLACES)}.")
    for kind in kinds:
        if not is_emulated(kind):
            raise OperatorError(f"the sandbox has no {kind}", f"It has: {', '.join(PLACES)}.")


def parse_ports(given: Sequence[str], kinds: Sequence[str]) -> dict[str, int]:
    """The ports of `--port TYPE=N`, by type. Raises OperatorError."""
    ports = {}
    for one in given:
        kind, _, number = one.partition("=")
        if kind not in kinds or not number.isascii() or not number.isdigit() or int(number) > PORT_MAX:
            raise OperatorError(
                f"--port {one} is not TYPE=N with a type of --sides and a port",
                f"For example: --port {kinds[0]}=8081.",
            )
        ports[kind] = int(number)
    return ports


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
    """Serve the emulators until the block ends. Raises OperatorError for a port that cannot be had, and for
    what a system cannot have."""
    host = check_loopback(options.host)
    check_emulated(options.sides)
    runners: list[web.AppRunner] = []
    sides: dict[str, Mapping[str, str]] = {}
    try:
        for kind in options.sides:
            made = _made(kind, options)
            url = await _start(made, host, options.ports.get(kind, 0), kind, runners)
            sides[kind] = {"url": url, **made.access}
        yield Address(sides)
    finally:
        await asyncio.gather(*(runner.cleanup() for runner in runners))


def _made(system: str, options: SandboxOptions) -> Made:
    wanted = Options(
        seed=options.seed,
        number=kind_and_number(system)[1],
        cards=options.cards.get(system, 0),
        latency_ms=options.latency_ms,
        currency=options.currency,
        plan=options.plan,
        local_webhooks=options.local_webhooks,
        till_customers=options.till_customers,
    )
    try:
        return emulated(system).make(wanted)
    except ValueError as error:
        raise OperatorError(str(error), "Choose other options.") from None


async def _start(made: Made, host: str, port: int, kind: str, runners: list[web.AppRunner]) -> str:
    app = made.emulator.application()
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_SECONDS, access_log=None)
    await runner.setup()
    runners.append(runner)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        option = f"--{kind}-port" if kind in SIDES_DEFAULT else f"--port {kind}=N"
        remedy = f"Choose another with {option}, or 0 for any free one."
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(f"port {port} is in use", remedy) from None
        words = error.strerror or "not allowed"
        raise OperatorError(f"port {port} cannot be opened: {words}", remedy) from None
    bound = runner.addresses[0][1]
    return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
