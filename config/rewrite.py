"""Tells how a configuration file of an older form is written today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.errors import ConfigError
from config.keys import find_key
from config.settings import Settings
from config.template import render_short
from connectors import registry
from connectors.api.plugin import ConnectorType, OldKey
from connectors.api.settings import is_secret

#: Stands for a secret in what is printed.
AS_IT_IS = "(as it is in the old file)"


class OldForm(ConfigError):
    """The file has the form of an older giftsync. `text` is what it says in today's form, without its
    secrets."""

    def __init__(self, file: str, tables: list[str], text: str) -> None:
        named = " and ".join(f"[{one}]" for one in tables)
        words = (
            f"{file} has the form of an older giftsync, with {named}. Each side is a table [sides.NAME] now; "
        )
        super().__init__([words + "`giftsync config check` prints the new text."])
        self.text = text


def check_form(data: Mapping[str, Any], file: str) -> None:
    """Raises OldForm for a file whose sides have tables of their own at the top."""
    if "sides" in data:
        return
    old = [kind for kind in registry.usable() if isinstance(data.get(kind.name), Mapping)]
    if old:
        text = render_short(dict(_values(data, old)))
        raise OldForm(file, [kind.name for kind in old], text)


def _values(data: Mapping[str, Any], old: list[ConnectorType]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every key of today's file, in its order."""
    moved = {key for kind in old for key in kind.old_keys}
    names = {kind.name for kind in old}
    yield from (((name,), value) for name, value in data.items() if not isinstance(value, Mapping))
    link = dict(_flat(data.get("link", {})))
    for path, value in link.items():
        if ".".join(path) not in moved:
            yield ("link", *path), value
    for kind in old:
        yield ("sides", kind.name, "connector"), kind.name
        secrets = {name for name, info in kind.section.model_fields.items() if is_secret(info)}
        for name, value in data[kind.name].items():
            yield ("sides", kind.name, name), AS_IT_IS if name in secrets else value
        for key, place in kind.old_keys.items():
            path = tuple(key.split("."))
            if path in link:
                yield ("sides", kind.name, *place.path.split(".")), today(place, link[path])
    for name, table in data.items():
        if isinstance(table, Mapping) and name not in names and name != "link":
            for path, value in _flat(table):
                known = find_key(Settings, (name, *path))
                yield (name, *path), AS_IT_IS if known is not None and known.secret else value


def today(place: OldKey, value: object) -> object:
    """What an old value is called today."""
    return place.values.get(value, value) if isinstance(value, str | bool) else value


#: Tables that a key holds; every other table is one of the file.
_VALUES = frozenset({"template_suffixes", "gift_card_product_uids"})


def _flat(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in table.items():
        if isinstance(value, Mapping) and name not in _VALUES:
            for path, inner in _flat(value):
                yield (name, *path), inner
        else:
            yield (name,), value
