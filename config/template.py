"""The commented giftsync.toml and the reference page, both made from the settings' own docstrings."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from config.keys import ENV_ONLY, Key, TableInfo, tables

WIDTH = 100

#: TOML values by key path, such as `{("flow", "tenant"): "7"}`.
Values = Mapping[tuple[str, ...], object]


def render_toml(values: Values | None = None, *, head: str = "") -> str:
    """A whole, commented giftsync.toml: `values` are set, required keys without one are empty."""
    given = values or {}
    lines = _comment(head or _HEAD)
    for table in tables():
        lines += ["", ""] if table.name else [""]
        if table.name:
            lines += [*_comment(table.description), f"[{'.'.join(table.name)}]"]
        for key in table.keys:
            if key.path not in _LEFT_OUT:
                lines += ["", *_comment(key.description), *_comment(_expected(key)), _assignment(key, given)]
    return "\n".join(lines) + "\n"


_HEAD = """The settings of giftsync. A line that begins with # is a comment or shows a default.
Every key can also be set in the environment: [shopify] token is GIFTSYNC_SHOPIFY__TOKEN.
`giftsync config check` tells what is missing and whether both sides can be reached."""

_LEFT_OUT = {(name,) for name in ENV_ONLY}


def _comment(text: str) -> list[str]:
    return [f"# {line}" for part in text.splitlines() for line in textwrap.wrap(part, WIDTH - 2)]


def _expected(key: Key) -> str:
    # What is optional shows its form in the default already.
    shown = key.default is not None and not key.form.startswith("one of")
    return "" if shown else f"Expected: {key.form}."


def _assignment(key: Key, given: Values) -> str:
    if key.path in given:
        return f"{key.name} = {toml_value(given[key.path])}"
    if key.required:
        return f'{key.name} = ""'
    return f"# {key.name} = {key.default if key.default is not None else ''}".rstrip()


def toml_value(value: object) -> str:
    """A Python value in TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            # A JSON string is a TOML basic string, but for characters that need no escape in TOML either.
            return json.dumps(value)
        case list():
            return f"[{', '.join(toml_value(one) for one in value)}]"
        case Mapping():
            inside = ", ".join(f"{json.dumps(str(k))} = {toml_value(v)}" for k, v in value.items())
            return f"{{ {inside} }}" if inside else "{}"
    raise TypeError(f"no TOML form is known for {type(value).__name__}")


def render_reference() -> str:
    """docs/reference/configuration.md."""
    lines = [_REFERENCE_HEAD]
    for table in tables():
        lines += _reference_of(table)
    return "\n".join(lines)


_REFERENCE_HEAD = """# Configuration

<!-- Made from config/settings.py by `python -m config`; a test keeps the two in step. -->

giftsync reads `giftsync.toml` in the current folder, or the file named with `--config`. `giftsync config
init` writes one with every key explained; `giftsync config check` checks it and asks both sides who they are.

- The environment overrides the file: `[shopify] token` is `GIFTSYNC_SHOPIFY__TOKEN`.
- A token may be kept in a file of its own: `token_file = "shopify.token"` instead of `token`.
- A relative path is taken from the folder of `giftsync.toml`; in the environment, from the current folder.
- An unknown key is refused, and no message ever shows the value of a key.
"""


def _reference_of(table: TableInfo) -> list[str]:
    title = f"`[{'.'.join(table.name)}]`" if table.name else "Top of the file"
    lines = [f"## {title}", ""]
    if table.description:
        lines += [*textwrap.wrap(table.description, WIDTH), ""]
    for key in table.keys:
        lines += [f"### `{key.name}`", "", *textwrap.wrap(key.description, WIDTH), ""]
        lines += [f"- Form: {key.form}", f"- Default: {_default(key)}", f"- Environment: `{key.env}`", ""]
    return lines


def _default(key: Key) -> str:
    if key.required:
        return "none; the key is required"
    return f"`{key.default}`" if key.default is not None else "none"
