"""The commented giftsync.toml and the reference page, both made from the settings' own docstrings."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping

from config.keys import ENV_ONLY, Key, TableInfo, tables
from config.settings import Settings
from config.sides import settings_type
from connectors import registry
from connectors.api.settings import SideSection
from connectors.installed import shipped

WIDTH = 100

#: TOML values by key path, such as `{("link", "timezone"): "UTC"}`.
Values = Mapping[tuple[str, ...], object]


def render_toml(
    values: Values | None = None, *, sides: Mapping[str, str] | None = None, head: str = ""
) -> str:
    """A whole, commented giftsync.toml: `values` are set, required keys without one are empty.

    `sides` has the type of each side by its name; left out, there is one of every installed type.
    """
    chosen = {one: one for one in template_types()} if sides is None else sides
    given: dict[tuple[str, ...], object] = {("sides", n, "connector"): kind for n, kind in chosen.items()}
    given |= values or {}
    sections = {name: registry.connector_type(kind).section for name, kind in chosen.items()}
    lines = _comment(head or _HEAD)
    for table in tables(settings_type(sections)):
        lines += ["", ""] if table.name else [""]
        if table.name:
            lines += [*_comment(table.description), f"[{'.'.join(table.name)}]"]
        for key in table.keys:
            if key.path not in _LEFT_OUT:
                lines += ["", *_comment(key.description), *_comment(_expected(key)), _assignment(key, given)]
    return "\n".join(lines) + "\n"


def template_types() -> list[str]:
    """The installed types that a new configuration has a side of."""
    return [one.name for one in registry.usable() if one.in_template]


def render_short(values: Values) -> str:
    """The same file with its values only."""
    lines: list[str] = []
    for path in dict.fromkeys(path[:-1] for path in values):
        lines += [f"\n[{'.'.join(path)}]"] if path else []
        lines += [f"{one[-1]} = {toml_value(value)}" for one, value in values.items() if one[:-1] == path]
    return "\n".join(lines).strip() + "\n"


_HEAD = """The settings of giftsync. A line that begins with # is a comment or shows a default.
Every key can also be set in the environment: `token` in [sides.web] is GIFTSYNC_SIDES__WEB__TOKEN.
`giftsync config check` tells what is missing and whether every side can be reached."""

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
    """docs/reference/configuration.md: giftsync's own settings, what every side has, and the shipped
    connectors."""
    lines = [_REFERENCE_HEAD]
    for table in tables(Settings):
        lines += _reference_of(table)
    lines += ["## `[sides.NAME]`: what every side has", ""]
    for table in tables(SideSection, _SIDE):
        lines += _reference_of(table, level=2 if table.name == _SIDE else 3, titled=table.name != _SIDE)
    shared = set(SideSection.model_fields)
    for kind in (registry.connector_type(name) for name in shipped()):
        if kind.in_template:
            (own, *_) = tables(kind.section, _SIDE)
            changed = [key for key in own.keys if _is_own(kind.section, key.name, shared)]
            lines += [f'## `connector = "{kind.name}"`', ""]
            lines += _reference_of(TableInfo(_SIDE, own.description, tuple(changed)), titled=False)
    return "\n".join(lines)


_SIDE = ("sides", "NAME")


def _is_own(section: type[SideSection], name: str, shared: set[str]) -> bool:
    """Whether the connector has the key for itself, or says more about it than holds for every side."""
    return name not in shared or (
        section.model_fields[name].description != SideSection.model_fields[name].description
    )


_REFERENCE_HEAD = """# Configuration

<!-- Made from the settings' docstrings by `python -m config`; a test keeps the two in step. -->

giftsync reads `giftsync.toml` in the current folder, or the file named with `--config`. `giftsync config
init` writes one with every key explained; `giftsync config check` checks it and asks every side who it is.

- A link has two to eight sides. Each is a table `[sides.NAME]` whose `connector` names its type; several
  sides may be of one type. NAME is what commands, tables and webhook addresses call the side.
- The environment overrides the file: `token` in `[sides.web]` is `GIFTSYNC_SIDES__WEB__TOKEN`.
- A token may be kept in a file of its own: `token_file = "web.token"` instead of `token`.
- A relative path is taken from the folder of `giftsync.toml`; in the environment, from the current folder.
- An unknown key is refused, and no message ever shows the value of a key.
"""


def _reference_of(table: TableInfo, level: int = 2, *, titled: bool = True) -> list[str]:
    title = f"`[{'.'.join(table.name)}]`" if table.name else "Top of the file"
    lines = [f"{'#' * level} {title}", ""] if titled else []
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
