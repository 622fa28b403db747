"""Mapping files: a TOML text that describes any other layout. Pure.

name = "old till"
amounts = "decimal"            # or "minor"
decimal = ","                  # left out: found by looking
dates = "day first"            # or "month first"; only for dates with slashes
negative_balances = false
[columns]
number = "Kort nr"
balance = "Rest"
[statuses]
"I bruk" = "active"
"""

from __future__ import annotations

import tomllib
from typing import Any, Final

from mappings.lifecycle import CardStatus
from mappings.sheets.formats import Field, Format, Role, key_of

_KEYS: Final = frozenset(
    {
        "name",
        "columns",
        "statuses",
        "status_default",
        "amounts",
        "decimal",
        "dates",
        "negative_balances",
        "delimiter",
        "encoding",
    }
)
_FIELDS: Final = frozenset(
    {
        Field.NUMBER,
        Field.BALANCE,
        Field.CVC,
        Field.BRAND,
        Field.STORE,
        Field.STATUS,
        Field.VALID_TO,
        Field.LEGACY_NUMBER,
        Field.NOTE,
        Field.CURRENCY,
        Field.POOL,
    }
)
_DATES: Final = {"day first": True, "month first": False}


class MappingError(ValueError):
    """The mapping file is wrong; the message says where and what is expected."""


def read_mapping(text: str) -> Format:
    """The layout that a mapping file describes. Raises MappingError."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"it is not TOML: {error}") from None
    _no_unknown(content, _KEYS, "")
    columns = _texts(content, "columns")
    _no_unknown(columns, {one.value for one in _FIELDS}, "columns.")
    for needed in (Field.NUMBER, Field.BALANCE):
        if needed not in columns:
            raise MappingError(f'columns.{needed} is missing: write {needed} = "the name of its column"')
    amounts = _choice(content, "amounts", ("decimal", "minor")) or "decimal"
    dates = _choice(content, "dates", tuple(_DATES))
    negative = content.get("negative_balances", False)
    if not isinstance(negative, bool):
        raise MappingError("negative_balances must be true or false")
    return Format(
        str(content.get("name", "mapping file")),
        Role.POS,
        {Field(name): (key_of(column),) for name, column in columns.items()},
        frozenset({Field.NUMBER, Field.BALANCE} | {Field(name) for name in columns}),
        statuses={word.lower(): _status("statuses", s) for word, s in _texts(content, "statuses").items()}
        or {s.value: s for s in CardStatus},
        status_default=_status("status_default", str(content.get("status_default", "active"))),
        negative_balances=negative,
        minor_amounts=amounts == "minor",
        decimal_mark=_choice(content, "decimal", (",", ".")),
        day_first=None if dates is None else _DATES[dates],
        delimiter=_choice(content, "delimiter", (";", ",", "\t", "|")),
        encoding=_choice(content, "encoding", ("utf-8", "utf-16", "cp1252")),
    )


def _no_unknown(table: dict[str, Any], known: frozenset[str] | set[str], prefix: str) -> None:
    for name in table:
        if name not in known:
            raise MappingError(f"{prefix}{name} is not known; known are {', '.join(sorted(known))}")


def _texts(content: dict[str, Any], name: str) -> dict[str, str]:
    table = content.get(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise MappingError(f"[{name}] must be a table of texts")
    return table


def _choice(content: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str | None:
    value = content.get(name)
    if value is None or value in allowed:
        return value
    raise MappingError(f"{name} must be one of {', '.join(map(repr, allowed))}")


def _status(where: str, word: str) -> CardStatus:
    try:
        return CardStatus(word)
    except ValueError:
        raise MappingError(f"{where}: a status is one of {', '.join(s.value for s in CardStatus)}") from None
