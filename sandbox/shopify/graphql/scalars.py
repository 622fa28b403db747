"""Shopify's scalars: their text outside, Python values inside (shopify.md §3.3, §5)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from graphql import GraphQLScalarType, GraphQLSchema

_UNSIGNED_64_MAX = 2**64 - 1
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class CoercionError(ValueError):
    """An input that the scalar doesn't take; the message is Shopify's explanation."""


def format_instant(seconds: int) -> str:
    """Whole-second UTC: "2026-07-14T15:53:31Z" (shopify.md §3)."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CoercionError(f"invalid decimal '{value}'")
    text = str(value).strip()
    if not _DECIMAL.fullmatch(text):
        raise CoercionError(f"invalid decimal '{value}'")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CoercionError(f"invalid decimal '{value}'") from None


def parse_instant(value: object) -> int:
    """An ISO 8601 instant as whole seconds, rounded down. Without an offset it is taken as UTC."""
    try:
        instant = datetime.fromisoformat(value if isinstance(value, str) and "T" in value else "")
    except ValueError:
        raise CoercionError(f"invalid DateTime '{value}'") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return int(instant.timestamp() // 1)


def parse_date(value: object) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise CoercionError(f"invalid Date '{value}'") from None


def parse_url(value: object) -> str:
    if not isinstance(value, str):
        raise CoercionError(f"Invalid url '{value}', missing scheme")
    parts = urlsplit(value.strip())
    if not parts.scheme:
        raise CoercionError(f"Invalid url '{value}', missing scheme")
    if not parts.netloc:
        raise CoercionError(f"Invalid url '{value}', missing host")
    return value


def parse_unsigned(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"-?\d+", str(value), re.ASCII):
        raise CoercionError(f"UnsignedInt64 invalid value '{value}'")
    number = int(str(value))
    if not 0 <= number <= _UNSIGNED_64_MAX:
        raise CoercionError(f"UnsignedInt64 '{value}' is out of range")
    return number


def parse_json(value: object) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _as_is(value: object) -> object:
    return value


def _write_date(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _write_instant(value: object) -> str:
    return format_instant(value) if isinstance(value, int) else str(value)


#: By scalar: input coercion, output coercion.
_SCALARS: dict[str, tuple[Callable[[object], object], Callable[[object], object]]] = {
    "Date": (parse_date, _write_date),
    "DateTime": (parse_instant, _write_instant),
    "Decimal": (parse_decimal, str),
    "JSON": (parse_json, _as_is),
    "URL": (parse_url, str),
    "UnsignedInt64": (parse_unsigned, str),
}


def bind_scalars(schema: GraphQLSchema) -> None:
    """Give the schema's custom scalars their coercions."""
    for name, (parse, write) in _SCALARS.items():
        scalar = schema.type_map[name]
        if not isinstance(scalar, GraphQLScalarType):
            raise TypeError(f"{name} is not a scalar")
        scalar.coerce_input_value = parse
        scalar.coerce_output_value = write
