"""Which connector types are installed, by their entry points alone: nothing of them is imported."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

GROUP: Final = "giftsync.connectors"
#: The commands of types that ship; each value is that of the type.
COMMANDS_GROUP: Final = "giftsync.commands"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")


def installed() -> list[str]:
    """The names of every installed type, those that ship with giftsync first."""
    return list(entry_points_by_name())


def shipped() -> list[str]:
    """The types that come with giftsync itself."""
    return [name for name, point in entry_points_by_name().items() if _is_ours(point)]


def shipped_commands() -> dict[str, str]:
    """By the name of the command: the type that ships with giftsync and brings it along."""
    ours = [point for point in entry_points(group=COMMANDS_GROUP) if _is_ours(point)]
    types = {point.value: name for name, point in entry_points_by_name().items()}
    return {point.name: types[point.value] for point in sorted(ours) if point.value in types}


@cache
def entry_points_by_name() -> dict[str, EntryPoint]:
    """By name. Of two packages that register one name the shipped one counts."""
    found = sorted(entry_points(group=GROUP), key=lambda point: (not _is_ours(point), point.name))
    points: dict[str, EntryPoint] = {}
    for point in found:
        if _NAME.fullmatch(point.name):
            points.setdefault(point.name, point)
    return points


def _is_ours(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == "giftsync"
