"""The sides that a configuration names: each is a table of the type that its connector owns."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, create_model

from config.settings import Settings, Sides
from connectors import registry
from connectors.api.settings import SideSection
from connectors.installed import installed

SIDES_MIN: Final = 2
SIDES_MAX: Final = 8
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
#: What messages, tables and commands call something else.
_TAKEN: Final = frozenset({"link", "hub", "giftsync", "both", "ask", "lower", "higher", *dir(BaseModel)})
_ENV_CONNECTOR: Final = re.compile(r"GIFTSYNC_SIDES__(.+)__CONNECTOR")

#: A section's class by the side's name, in the order of the file.
SideTypes = Mapping[str, type[SideSection]]


def settings_type(sides: SideTypes) -> type[Settings]:
    """The settings of a link with these sides; the same class for the same sides."""
    return _settings_type(tuple(sides.items()))


@cache
def _settings_type(sides: tuple[tuple[str, type[SideSection]], ...]) -> type[Settings]:
    tables: Any = {name: (section, ...) for name, section in sides}
    made = create_model("Sides", __base__=Sides, **tables)
    return create_model("Settings", __base__=Settings, sides=(made, ...))


def side_types(data: Mapping[str, Any], file: str) -> tuple[dict[str, type[SideSection]], list[str]]:
    """The sides that the file and the environment name, and what is wrong with their names and connectors.

    A side whose connector is not known is left out, because nothing can be said about its keys.
    """
    found: dict[str, type[SideSection]] = {}
    problems: list[str] = []
    tables = data.get("sides")
    named = list(tables) if isinstance(tables, Mapping) else []
    from_env = _connectors_of_environment()
    for name in dict.fromkeys([*named, *from_env]):
        where = f"{file}: [sides.{name}]"
        table = tables.get(name) if isinstance(tables, Mapping) else None
        if table is not None and not isinstance(table, Mapping):
            problems.append(f"{file}: sides.{name} must be a table, written as [sides.{name}].")
        elif not _NAME.fullmatch(name) or len(name) > 30 or name in _TAKEN:
            problems.append(f"{where}: a side cannot have this name. {NAME_WORDS}")
        else:
            connector = from_env.get(name) or (table or {}).get("connector")
            section = _section_of(connector, where, problems)
            if section is not None:
                found[name] = section
    count = len(dict.fromkeys([*named, *from_env]))
    if not SIDES_MIN <= count <= SIDES_MAX:
        have = "there is none" if count == 0 else "there is one" if count == 1 else f"there are {count}"
        problems.append(
            f"{file}: a link has {SIDES_MIN} to {SIDES_MAX} sides, each written as [sides.NAME] with "
            f"`connector`; {have}."
        )
    return found, problems


NAME_WORDS: Final = (
    "Names are of lower case letters, digits and single underscores, begin with a letter, and are no word "
    "that giftsync uses itself."
)


def _section_of(connector: object, where: str, problems: list[str]) -> type[SideSection] | None:
    have = ", ".join(f'"{name}"' for name in installed())
    if not isinstance(connector, str) or not connector:
        problems.append(f"{where} connector is missing. It must be one of {have}.")
        return None
    try:
        return registry.connector_type(connector).section
    except registry.ConnectorUnusable as error:
        problems.append(f"{where} connector: {error}.")
        return None


def _connectors_of_environment() -> dict[str, str]:
    """`GIFTSYNC_SIDES__<NAME>__CONNECTOR`: a side that the environment alone may name."""
    return {
        found.group(1).lower(): value
        for variable, value in os.environ.items()
        if value and (found := _ENV_CONNECTOR.fullmatch(variable.upper()))
    }


def webhook_keys_of(section: type[SideSection]) -> tuple[str, ...] | None:
    """The keys of a side's table whose secrets prove webhook deliveries; None: it may need any of them."""
    return next((one.webhook_keys for one in registry.usable() if one.section is section), None)
