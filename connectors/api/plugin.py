"""What a connector type brings: everything that giftsync knows of one kind of system.

A type is found through the entry point group `giftsync.connectors`; those that ship are registered the same
way. The value of an entry point is one `ConnectorType`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from connectors.api.build import BuildContext
from connectors.api.settings import SideSection

if TYPE_CHECKING:
    import typer

    from connectors.api.commands import CommandHost, ConfiguredSide
    from connectors.api.connecting import Connection
    from connectors.api.side import Side
    from connectors.api.trial import TrialSide

#: The version of this contract: everything in `connectors.api` and `connectors.kit`. See
#: docs/reference/connector-contract.md for what a version promises.
CONTRACT_VERSION: Final = (1, 0)


@dataclass(frozen=True)
class OldKey:
    """Where a key of an older configuration file belongs today: into the table of a side of this type."""

    #: The path below the side's table, such as `directions.balance`.
    path: str
    #: What old values are called today; a value that is not named stays.
    values: Mapping[Any, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ConnectorType:
    """One kind of system that giftsync can keep in step."""

    #: As in `connector = "…"`: lower case letters, digits and dashes.
    name: str
    #: For people, such as `Flow Retail`.
    title: str
    #: The table of a side of this type. Secrets are of the type `Secret`.
    section: type[SideSection]
    #: Makes a side from its table. Sends nothing. Raises ValueError, whose arguments are sentences that name
    #: keys.
    build: Callable[[Any, BuildContext], Side]
    #: The contract that the type is written for.
    contract: tuple[int, int] = CONTRACT_VERSION
    #: Where the old `[link]` table had what is this side's own today, by key.
    old_keys: Mapping[str, OldKey] = field(default_factory=dict)
    #: The commands `giftsync <name> …`.
    commands: Callable[[CommandHost], typer.Typer] | None = None
    #: What comes before them instead of the type's name, where that says better what they are about.
    commands_name: str | None = None
    #: Begins an installation from a page of the console; the system sends the browser back to the address.
    #: Raises ValueError, whose argument says what the settings lack for it.
    connect: Callable[[ConfiguredSide, str], Connection] | None = None
    #: Keys of the table that a merchant may change in the console, beside those that every side has.
    merchant_keys: tuple[str, ...] = ()
    #: Keys of the table whose secrets prove webhook deliveries. A process that only receives webhooks is
    #: given no other secret of the table. None: it needs them all.
    webhook_keys: tuple[str, ...] | None = None
    #: A system on this machine to try giftsync on, for `giftsync demo --sides 3`.
    trial: Callable[[str], TrialSide] | None = None
    #: Whether `config init` writes a table of it unasked.
    in_template: bool = True
