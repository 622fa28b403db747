"""The installed connector types, found through entry points."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from connectors.api.plugin import CONTRACT_VERSION, ConnectorType
from connectors.installed import entry_points_by_name, installed


class ConnectorUnusable(Exception):
    """A connector that is installed and cannot be used; the message says why."""


@cache
def connector_type(name: str) -> ConnectorType:
    """The type of that name. Raises ConnectorUnusable."""
    point = entry_points_by_name().get(name)
    if point is None:
        have = ", ".join(f'"{one}"' for one in installed()) or "none"
        raise ConnectorUnusable(f'no connector "{name}" is installed; installed are: {have}')
    try:
        found = point.load()
    except Exception as error:
        # Whatever a stranger's package raises when it is imported.
        raise ConnectorUnusable(
            f'the connector "{name}" ({point.value}) cannot be loaded: {type(error).__name__}: {error}'
        ) from error
    if not isinstance(found, ConnectorType):
        raise ConnectorUnusable(f'the connector "{name}": {point.value} is no ConnectorType')
    if found.name != name:
        raise ConnectorUnusable(
            f'the connector "{name}": its ConnectorType calls itself "{found.name}", and both have to agree'
        )
    major, minor = found.contract
    if major != CONTRACT_VERSION[0] or minor > CONTRACT_VERSION[1]:
        ours = ".".join(map(str, CONTRACT_VERSION))
        raise ConnectorUnusable(
            f'the connector "{name}" is written for contract {major}.{minor}; this giftsync has {ours}'
        )
    return found


def usable() -> Iterator[ConnectorType]:
    """Every installed type that can be used."""
    for name in installed():
        try:
            yield connector_type(name)
        except ConnectorUnusable:
            continue
