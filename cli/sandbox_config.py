"""A giftsync.toml for the sandbox, from the line that `sandbox serve` prints.

The sandbox's systems are known, so everything that a merchant must find out about one is switched on here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from cli.emulators import Address, side_name
from cli.errors import OperatorError
from config.template import Values, render_toml
from sandbox.registry import PLACES, emulated, is_emulated, kind_and_number


@dataclass(frozen=True)
class Pace:
    """How eagerly the worker looks, how long it waits, and how many cards it works on at the same time."""

    #: The sandbox answers at once; nothing lands later than this.
    quiet_seconds: float = 5
    poll_seconds: float = 2
    threads: int = 8
    #: The sides are served for the demo, with the highest limits that their systems have.
    demo: bool = False


PACE = Pace()
DEMO_PACE = Pace(poll_seconds=1, threads=16, demo=True)
HEAD = """The settings of giftsync for its sandbox, made by `giftsync sandbox config`.
The tokens are worth nothing: they open the emulators on this machine only."""


def parse_ready_line(text: str) -> Address:
    """Read the line that `sandbox serve` prints. Raises OperatorError, which never shows the line."""
    remedy = "Pipe the line that `giftsync sandbox serve` prints into `giftsync sandbox config`."
    if not text.strip():
        raise OperatorError("nothing came on standard input", remedy)
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict) or not line or not all(_is_side(*one) for one in line.items()):
        raise OperatorError(f"standard input is not the sandbox's line: {_form()}", remedy)
    return Address(line)


def _is_side(kind: str, access: object) -> bool:
    if not is_emulated(kind) or not isinstance(access, dict):
        return False
    values = [access.get(key) for key in ("url", *emulated(kind).access)]
    return all(isinstance(value, str) and value for value in values)


def _form() -> str:
    """How a line looks, in words."""
    keys = {kind: ", ".join(f'"{key}"' for key in ("url", *emulated(kind).access)) for kind in PLACES}
    return "{" + ", ".join(f'"{kind}": {{{names}}}' for kind, names in keys.items()) + "}"


def sandbox_toml(
    address: Address,
    pace: Pace = PACE,
    more: Mapping[str, Mapping[str, object]] | None = None,
) -> str:
    """The whole file, commented; `more` has the keys of further sides, by name."""
    values = dict(sandbox_values(address, pace))
    sides = {side_name(kind): kind_and_number(kind)[0] for kind in address.sides}
    for name, keys in (more or {}).items():
        sides[name] = str(keys["connector"])
        values |= {("sides", name, key): value for key, value in keys.items()}
    return render_toml(values, sides=sides, head=HEAD)


def sandbox_values(address: Address, pace: Pace = PACE) -> Values:
    """The sandbox's settings by key path."""
    values: dict[tuple[str, ...], object] = {
        ("link", "timezone"): "Europe/Oslo",
        ("link", "quiet_seconds"): pace.quiet_seconds,
        ("worker", "poll_seconds"): pace.poll_seconds,
        ("worker", "threads"): pace.threads,
        # So that a till or a shop can be tried against the API without anything of the merchant's.
        ("api", "enabled"): True,
    }
    for kind, access in address.sides.items():
        keys = emulated(kind).settings(access, pace.demo)
        values |= {("sides", side_name(kind), key): value for key, value in keys.items()}
    return values
