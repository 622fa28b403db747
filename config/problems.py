"""pydantic's errors as sentences for the person who edits the file. Values are never shown."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.keys import ENV_PREFIX, Key, find_key, names_in
from config.settings import Settings


def sentences(
    error: ValidationError, file: str, from_env: Mapping[str, Any], model: type[Settings]
) -> list[str]:
    """One sentence per problem. `file` is the file's name; `from_env` is what the environment gave."""
    found = error.errors(include_url=False, include_input=False, include_context=True)
    # Two branches of a union complain about the same key.
    return list(dict.fromkeys(words for one in found for words in _sentences(one, file, from_env, model)))


def _sentences(
    error: ErrorDetails, file: str, from_env: Mapping[str, Any], model: type[Settings]
) -> list[str]:
    """One error may name several keys that are needed together."""
    path = _path(error, model)
    if error["type"] != "needed":
        return [_sentence(error, path, file, from_env, model)]
    paths = [(*path, *key.split(".")) for key in str(error["ctx"]["keys"]).split()]
    return [_missing(one, find_key(model, one), file) for one in paths]


def _sentence(
    error: ErrorDetails, path: tuple[str, ...], file: str, from_env: Mapping[str, Any], model: type[Settings]
) -> str:
    key = find_key(model, path)
    where = where_of(path, file, from_env)
    match error["type"]:
        case "extra_forbidden":
            return f"{where} is not a setting{suggestion(model, path)}."
        case "missing":
            return _missing(path, key, file)
        case "secret_file":
            context = error["ctx"]
            name = _name((*path, context["key"]), file)
            return f"{name}: {context['path']} cannot be used: {context['reason']}."
        case "beside":
            context = error["ctx"]
            name = _name((*path, context["key"]), file)
            return f"{name} stands beside `{context['beside']}`. Leave one of the two ways out."
        case "empty" if key is not None:
            return f"{where} is empty. {_put(key)}"
    if key is None:
        return f"{where} must be a table, written as [{'.'.join(path)}]."
    return f"{where} must be {key.form}."


def _path(error: ErrorDetails, model: type[Settings]) -> tuple[str, ...]:
    """The key's path: deeper parts of a location are inside its value."""
    location = tuple(str(part) for part in error["loc"])
    for length in range(len(location), 0, -1):
        if find_key(model, location[:length]) is not None:
            return location[:length]
    return location


def _missing(path: tuple[str, ...], key: Key | None, file: str) -> str:
    if key is None:
        return f"{file}: the table [{'.'.join(path)}] is missing. `giftsync config init` writes an example."
    return f"{_name(path, file)} is missing. {_put(key)}"


def _put(key: Key) -> str:
    if key.from_file:
        return f"Put {key.form} there, or `{key.name}_file` with a path, or set {key.env}."
    return f"It must be {key.form}."


def where_of(path: tuple[str, ...], file: str, from_env: Mapping[str, Any]) -> str:
    value: Any = from_env
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is not None:
        return f"the environment variable {ENV_PREFIX}{'__'.join(path).upper()}"
    return _name(path, file)


def _name(path: tuple[str, ...], file: str) -> str:
    tables = f"[{'.'.join(path[:-1])}] " if len(path) > 1 else ""
    return f"{file}: {tables}{path[-1] if path else 'the file'}"


def suggestion(model: type[Settings], path: tuple[str, ...]) -> str:
    """`; did you mean …?`, or where the key belongs, or nothing."""
    sides = names_in(model, ("sides",))
    if path[-1] in sides and len(path) == 1:
        return f" here; it belongs in [sides.{path[-1]}]"
    known = names_in(model, path[:-1])
    close = difflib.get_close_matches(path[-1].lower(), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}"
    for table in (("link",), *(("sides", name) for name in sides), ("worker",)):
        if path[-1] in names_in(model, table):
            return f" here; it belongs in [{'.'.join(table)}]"
    return ""
