"""What the settings say about themselves: for templates, the reference page and errors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.settings import Settings
from connectors.api.settings import Section, SideSection, is_secret, secret_names

ENV_PREFIX = "GIFTSYNC_"
#: Keys that are refused in the file.
ENV_ONLY = ("key",)


@dataclass(frozen=True)
class Key:
    """One key of the configuration."""

    #: The tables around it, such as `("link", "brakes")`; empty at the top.
    tables: tuple[str, ...]
    name: str
    description: str
    #: What is expected, as words that follow "must be".
    form: str
    required: bool
    #: As TOML; None: no default, or nothing to show.
    default: str | None
    secret: bool
    #: Whether `<name>_file` may stand in for it.
    from_file: bool

    @property
    def path(self) -> tuple[str, ...]:
        return (*self.tables, self.name)

    @property
    def env(self) -> str:
        return ENV_PREFIX + "__".join(self.path).upper()


@dataclass(frozen=True)
class TableInfo:
    """One table of the configuration, with its keys in the order of the file."""

    name: tuple[str, ...]
    description: str
    keys: tuple[Key, ...]


@cache
def tables(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> tuple[TableInfo, ...]:
    """Every table, the top first. `path` is where the model's own table stands."""
    return tuple(table for table in _tables(model, path) if table.keys)


def find_key(model: type[BaseModel], path: tuple[str, ...]) -> Key | None:
    return next((key for table in tables(model) for key in table.keys if key.path == path), None)


def names_in(model: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """The names of keys and tables that may stand in the table `path`."""
    for name in path:
        found = model.model_fields.get(name)
        section = None if found is None else _section_of(found)
        if section is None:
            return []
        model = section
    return [name for name in model.model_fields if path or name not in ENV_ONLY]


def _tables(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[TableInfo]:
    keys, inner = [], []
    for name, info in _in_order(model):
        section = _section_of(info)
        if section is None:
            keys.append(_key(model, path, name, info))
        else:
            inner.append((section, (*path, name)))
    description = " ".join((inspect.getdoc(model) or "").split()) if path else ""
    yield TableInfo(path, description, tuple(keys))
    for section, section_path in inner:
        yield from _tables(section, section_path)


def _in_order(model: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    """Of a side: its connector, what is the connector's own, and what every side has."""
    fields = list(model.model_fields.items())
    if not issubclass(model, SideSection):
        return fields
    shared = SideSection.model_fields
    own = [one for one in fields if one[0] not in shared]
    first, *rest = [one for one in fields if one[0] in shared]
    return [first, *own, *rest]


def _section_of(info: FieldInfo) -> type[Section] | None:
    annotation = info.annotation
    return annotation if inspect.isclass(annotation) and issubclass(annotation, Section) else None


def _key(model: type[BaseModel], path: tuple[str, ...], name: str, info: FieldInfo) -> Key:
    return Key(
        tables=path,
        name=name,
        description=" ".join((info.description or "").split()),
        form=_form(info),
        required=info.is_required(),
        default=None if info.is_required() else _toml(info.get_default(call_default_factory=True)),
        secret=is_secret(info),
        from_file=name in secret_names(model),
    )


def _form(info: FieldInfo) -> str:
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "form" in extra:
        return str(extra["form"])
    choices = _choices(info.annotation)
    if choices:
        return "one of " + ", ".join(f'"{choice}"' for choice in choices)
    return _nested_form(info.annotation)


def _nested_form(annotation: Any) -> str:
    """The form on an alias such as `Currency | None`, whose metadata stays inside the union."""
    for part in get_args(annotation):
        if get_origin(part) is Annotated:
            for metadata in get_args(part)[1:]:
                extra = getattr(metadata, "json_schema_extra", None)
                if isinstance(extra, dict) and "form" in extra:
                    return str(extra["form"])
    return "text"


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) in (Union, UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return [str(choice) for choice in get_args(annotation)] if get_origin(annotation) is Literal else []


def _toml(value: object) -> str | None:
    match value:
        case None:
            return None
        case list():
            return f"[{', '.join(_toml(one) or '' for one in value)}]"
        case bool():
            return "true" if value else "false"
        case float() | Decimal():
            return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
        case int():
            return str(value)
        case str():
            return json.dumps(value)
        case dict():
            return "{}"
    raise TypeError(f"no TOML form is known for {type(value).__name__}")
