"""Change values of a settings file, and leave every other line of it as a person wrote it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from decimal import Decimal
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from config.errors import ConfigError

#: A value of the file; None: the key is left out, so that its default holds.
Value = str | bool | int | Decimal | list[str] | None


def edit(text: str, changes: Mapping[tuple[str, ...], Value]) -> str:
    """The file's text with these values, by key path; comments, order and spacing stay.

    Raises ConfigError for a text that is no TOML, or that has a value where a table belongs.
    """
    try:
        document = tomlkit.parse(text)
        for path, value in changes.items():
            _put(document, path, value)
        edited = tomlkit.dumps(document)
        _check_only(tomllib.loads(text), tomllib.loads(edited), changes)
        return edited
    except (TOMLKitError, tomllib.TOMLDecodeError) as error:
        raise ConfigError([f"The settings file cannot be changed: {error}."]) from None


def _put(document: MutableMapping[str, Any], path: tuple[str, ...], value: Value) -> None:
    table = document
    for name in path[:-1]:
        if name not in table:
            if value is None:
                return
            table[name] = tomlkit.table()
        table = table[name]
        if not isinstance(table, MutableMapping):
            raise ConfigError([f"{name} is no table in the settings file."])
    if value is None:
        table.pop(path[-1], None)
    elif isinstance(value, Decimal):
        # TOML has no decimal type, and a float would not hold every amount exactly.
        table[path[-1]] = int(value) if value == value.to_integral_value() else f"{value:f}"
    else:
        table[path[-1]] = value


def _check_only(
    before: Mapping[str, Any], after: Mapping[str, Any], changes: Mapping[tuple[str, ...], Value]
) -> None:
    """Nothing but the changes may differ, whatever the library made of an odd file."""
    old, new = dict(_leaves(before, ())), dict(_leaves(after, ()))
    if any(old.get(path) != new.get(path) for path in {*old, *new} - {*changes}):
        raise ConfigError(["The settings file cannot be changed safely here; change it by hand."])


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value
