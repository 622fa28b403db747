"""`giftsync sandbox serve|config`: emulators of the systems on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import OperatorError

if TYPE_CHECKING:
    from cli.emulators import SandboxOptions

app = typer.Typer(
    help="Emulators of Shopify, Flow Retail and other systems on this machine, to try giftsync on.",
    no_args_is_help=True,
)

LINE_BYTES_MAX = 65_536


class PlanChoice(StrEnum):
    STANDARD = "standard"
    PLUS = "plus"


Port = Annotated[int, typer.Option(min=0, max=65_535, help="0 takes any free port.")]


@app.command()
def serve(
    sides: Annotated[
        str,
        typer.Option(
            help="The types of systems, such as flow,shopify,lightspeed-x; twice for two of a type."
        ),
    ] = "flow,shopify",
    shopify_port: Port = 0,
    flow_port: Port = 0,
    port: Annotated[
        list[str] | None,
        typer.Option(help="TYPE=N: the port of another type; may be repeated.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cards.")] = 0,
    cards: Annotated[int, typer.Option(min=0, help="Cards that each system starts with.")] = 0,
    latency_ms: Annotated[int, typer.Option(min=0, max=60_000, help="Delay of every API call.")] = 0,
    plan: Annotated[
        PlanChoice, typer.Option(help="The plan sets the API limits of systems that sell higher ones.")
    ] = PlanChoice.STANDARD,
    currency: Annotated[str, typer.Option(help="ISO 4217, of every system.")] = "NOK",
    local_webhooks: Annotated[
        bool,
        typer.Option(
            "--local-webhooks",
            help="Let Shopify deliver webhooks to http addresses of this machine; the real one refuses them.",
        ),
    ] = False,
    till_customers: Annotated[
        bool, typer.Option("--till-customers", help="Flow's orders show who bought a card at the till.")
    ] = False,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
) -> None:
    """Serve the emulators until stopped; print one JSON line when they are ready.

    People and tests drive them over a control plane: POST /_sandbox/CALL with a JSON object, on every port.
    There are calls for shoppers and cashiers, chosen and unreadable cards, deletion, other currencies, the
    clock (`clock`), tills that are fast, slow or offline (`till`), lost and spoiled answers (`faults`),
    and what the API facts leave open (`behaviour`). GET /_sandbox/ lists them with their keys;
    docs/reference/sandbox.md explains them and says how to provoke every kind of conflict.
    """
    # Here and below: the emulators take half a second to import, which every other command would pay.
    from cli.emulators import SandboxOptions, check_emulated, parse_ports, parse_sides

    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise OperatorError("--currency must be an ISO 4217 code", "For example: --currency NOK.")
    kinds = parse_sides(sides)
    check_emulated(kinds)
    options = SandboxOptions(
        sides=kinds,
        ports={"shopify": shopify_port, "flow": flow_port, **parse_ports(port or [], kinds)},
        host=host,
        seed=seed,
        cards=dict.fromkeys(kinds, cards),
        latency_ms=latency_ms,
        plan=plan.value,
        currency=currency,
        local_webhooks=local_webhooks,
        till_customers=till_customers,
    )
    asyncio.run(_serve(options))


async def _serve(options: SandboxOptions) -> None:
    from cli.emulators import serving

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(options) as address:
        sys.stdout.write(json.dumps(address.sides) + "\n")
        sys.stdout.flush()
        if sys.stdout.isatty():
            sys.stderr.write("Ready. Give this line to `giftsync sandbox config`; Ctrl-C stops.\n")
        await stop.wait()


@app.command("config")
def make_config() -> None:
    """Read the line of `sandbox serve` on standard input; print a giftsync.toml."""
    from cli.sandbox_config import parse_ready_line, sandbox_toml

    if sys.stdin.isatty():
        with contextlib.suppress(OSError):
            sys.stderr.write("Paste the line that `giftsync sandbox serve` printed:\n")
    sys.stdout.write(sandbox_toml(parse_ready_line(sys.stdin.readline(LINE_BYTES_MAX))))
