"""Reading JSON answers without trusting their shape.

Whatever has not the expected shape is `Misshapen`: an answer that cannot be believed, so the outcome is in
doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.api.errors import InDoubt

Json = Mapping[str, Any]


class Misshapen(InDoubt):
    """An answer that is not as the schema promises. The message names the field, never its content."""

    answered = True


def as_object(value: object, name: str) -> Json:
    if not isinstance(value, dict):
        raise Misshapen(f"Shopify's answer has no object where {name} belongs")
    return value


def optional_object(node: Json, name: str) -> Json | None:
    return None if node.get(name) is None else as_object(node[name], name)


def object_of(node: Json, name: str) -> Json:
    return as_object(node.get(name), name)


def list_of(node: Json, name: str) -> list[Any]:
    value = node.get(name)
    if not isinstance(value, list):
        raise Misshapen(f"Shopify's answer has no list where {name} belongs")
    return value


def objects_of(node: Json, name: str) -> list[Json]:
    return [as_object(item, name) for item in list_of(node, name)]


def text_of(node: Json, name: str) -> str:
    """The text, without NUL: JSON can hold it, PostgreSQL cannot."""
    value = node.get(name)
    if not isinstance(value, str):
        raise Misshapen(f"Shopify's answer has no text where {name} belongs")
    return value.replace("\x00", "")


def optional_text(node: Json, name: str) -> str | None:
    return None if node.get(name) is None else text_of(node, name)


def flag_of(node: Json, name: str) -> bool:
    value = node.get(name)
    if not isinstance(value, bool):
        raise Misshapen(f"Shopify's answer has neither true nor false where {name} belongs")
    return value


def number_or_none(node: Json, name: str) -> float | None:
    value = node.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def next_page(connection: Json) -> str | None:
    """The cursor of the page that follows, or None at the end. Opaque (shopify.md §3.1)."""
    info = object_of(connection, "pageInfo")
    return text_of(info, "endCursor") if flag_of(info, "hasNextPage") else None
