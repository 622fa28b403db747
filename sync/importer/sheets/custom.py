"""Mapping files: a TOML text that describes any other layout. Pure.

name = "old till"
amounts = "decimal"            # or "minor"
decimal = ","                  # left out: found by looking
dates = "DD.MM.YY"             # or "day first", "month first" for dates with slashes
negative_balances = false
mixed_lengths = false          # true: numbers of several lengths are as printed
ignore = ["Old status"]        # columns that sound as if they mattered
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
from mappings.sentences import say
from sync.importer.sheets.dates import DateForm
from sync.importer.sheets.formats import Field, Format, Role, key_of

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
        "mixed_lengths",
        "ignore",
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
        Field.ENABLED,
        Field.ARCHIVED,
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
    try:
        day_first, form = date_habit(content.get("dates"))
    except MappingError as error:
        raise MappingError(f"dates: {error}") from None
    ignored = content.get("ignore", [])
    if not isinstance(ignored, list) or not all(isinstance(name, str) for name in ignored):
        raise MappingError("ignore must be a list of the names of columns")
    return Format(
        str(content.get("name", "mapping file")),
        Role.POS,
        {Field(name): (key_of(column),) for name, column in columns.items()},
        frozenset({Field.NUMBER, Field.BALANCE} | {Field(name) for name in columns}),
        statuses={word.lower(): _status("statuses", s) for word, s in _texts(content, "statuses").items()}
        or {s.value: s for s in CardStatus},
        status_default=_status("status_default", str(content.get("status_default", "active"))),
        negative_balances=_truth(content, "negative_balances"),
        minor_amounts=amounts == "minor",
        decimal_mark=_choice(content, "decimal", (",", ".")),
        day_first=day_first,
        delimiter=_choice(content, "delimiter", (";", ",", "\t", "|")),
        encoding=_choice(content, "encoding", ("utf-8", "utf-16", "cp1252")),
        date_form=form,
        ignored=frozenset(map(key_of, ignored)),
        mixed_lengths=_truth(content, "mixed_lengths"),
    )


def date_habit(value: object) -> tuple[bool | None, DateForm | None]:
    """What `dates` says: whether the day comes first in dates with slashes, or how dates are written.

    Raises MappingError.
    """
    if value is None:
        return None, None
    if not isinstance(value, str):
        raise MappingError("it must be a text")
    if value in _DATES:
        return _DATES[value], None
    try:
        return None, DateForm(value)
    except ValueError:
        raise MappingError(
            say(
                "“{text}” is no way to write a date: use YYYY or YY, MM or Mon, and DD, such as DD.MM.YY; or "
                "say “day first” or “month first”",
                text=value,
            )
        ) from None


def _truth(content: dict[str, Any], name: str) -> bool:
    value = content.get(name, False)
    if not isinstance(value, bool):
        raise MappingError(f"{name} must be true or false")
    return value


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
