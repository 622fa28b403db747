"""Reads the settings: a TOML file, then the environment, which wins."""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from config.errors import ConfigError
from config.keys import ENV_ONLY, ENV_PREFIX, find_key, tables
from config.problems import sentences, suggestion, where_of
from config.rewrite import check_form
from config.settings import Settings
from config.sides import SideTypes, settings_type, side_types, webhook_keys_of
from connectors.api.settings import is_secret

FILE_DEFAULT = Path("giftsync.toml")
_SQLITE = "sqlite:///"
_KEY_SUFFIX = ".key"
#: Stands for a secret that a process is not given because it does not need it.
NOT_GIVEN = "not-given-to-this-process"


def load(path: Path | None = None, *, only_receives: bool = False) -> Settings:
    """The settings of `path`, or of ./giftsync.toml, overridden by the environment.

    A relative path in the file is taken from the file's folder, so that giftsync finds the same ledger
    wherever it is started. For a process that `only_receives` webhooks the secrets that let giftsync into the
    sides are left out, whether the file has them or not. Raises ConfigError, which names every problem at
    once.
    """
    file = path or FILE_DEFAULT
    return _settings_of(_read(file, required=path is not None), file, only_receives=only_receives)


def load_text(text: str, file: Path) -> Settings:
    """The settings that `file` would have with this text. Raises ConfigError, as `load` does."""
    try:
        return _settings_of(tomllib.loads(text), file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file.name} would not be well-formed TOML: {error}."]) from None


def overridden(settings: Settings) -> frozenset[tuple[str, ...]]:
    """The keys that the environment sets, whatever the file says."""
    return frozenset(_leaves(_environment(type(settings)), ()))


def _leaves(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name))
        yield (*path, name)


def _settings_of(data: dict[str, Any] | None, file: Path, *, only_receives: bool = False) -> Settings:
    check_form(data or {}, file.name)
    sides, problems = side_types(data or {}, file.name)
    model = settings_type(sides)
    environment = _environment(model)
    if data is None and not environment and not sides:
        raise _no_file(file)
    problems = _env_problems(model) + problems + _file_problems(file, data or {}, model)
    problems += _first_contact_problem(data or {}, environment, file.name, model)
    given = _with_sides(_without_overridden(data or {}, environment, model), list(sides))
    if only_receives:
        given = _without_access(given, sides)
    try:
        settings = model(**_rooted(given, file.parent))
    except ValidationError as error:
        found = sentences(error, file.name, environment, model)
        raise ConfigError(list(dict.fromkeys(problems + found))) from None
    except SettingsError:
        raise ConfigError(
            [f"The environment cannot set a whole table; set its keys, as {ENV_PREFIX}LINK__TIMEZONE."]
        ) from None
    if problems:
        raise ConfigError(problems)
    return settings


def _with_sides(data: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The data with those sides only that something can be said about, and all of these."""
    tables = _inside(data, ("sides",))
    return {**data, "sides": {name: tables.get(name, {}) for name in names}}


def _without_access(data: dict[str, Any], sides: SideTypes) -> dict[str, Any]:
    """The data with nothing of the sides' secrets but those that prove webhook deliveries."""
    tables = {name: dict(table) for name, table in data["sides"].items()}
    for name, section in sides.items():
        proving = webhook_keys_of(section)
        for key, field in section.model_fields.items():
            if proving is not None and is_secret(field) and key not in proving:
                tables[name].pop(f"{key}_file", None)
                # Some are needed in a table that is whole.
                tables[name][key] = NOT_GIVEN
    return {**data, "sides": tables}


def key_path(settings: Settings) -> Path | None:
    """Where the key is kept, unless it is given in the environment; None: there is no place to keep it."""
    if settings.key_file is not None:
        return Path(settings.key_file)
    if settings.database.startswith(_SQLITE) and len(settings.database) > len(_SQLITE):
        database = Path(settings.database.removeprefix(_SQLITE))
        path = database.with_suffix(_KEY_SUFFIX)
        return path if path != database else Path(f"{database}{_KEY_SUFFIX}")
    return None


def _no_file(file: Path) -> ConfigError:
    return ConfigError(
        [f"There is no {file.name} here. Make one with `giftsync config init`, or name one with --config."]
    )


def _read(file: Path, *, required: bool) -> dict[str, Any] | None:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        if required:
            raise ConfigError(
                [f"There is no file {file}. Make one with `giftsync config init --config {file}`."]
            ) from None
        return None
    except OSError as error:
        raise ConfigError([f"{file} cannot be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file} is not a text file in UTF-8."]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            [f"{file.name} is not well-formed TOML: {error}. Text needs quotes around it."]
        ) from None


def _environment(model: type[Settings]) -> dict[str, Any]:
    """What the environment gives, as nested tables; the values may be secret."""
    try:
        return dict(EnvSettingsSource(model)())
    except SettingsError:
        return {}


def _env_problems(model: type[Settings]) -> list[str]:
    """A misspelt variable would otherwise be passed over in silence."""
    known = {table.name[0] if table.name else key.name for table in tables(model) for key in table.keys}
    return [
        f"the environment variable {name} is not a setting{suggestion(model, (first,))}."
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX)
        and (first := name.removeprefix(ENV_PREFIX).lower().split("__")[0]) not in known | {"sides"}
    ]


def _file_problems(file: Path, data: Mapping[str, Any], model: type[Settings]) -> list[str]:
    problems = [
        f"{file.name}: {name} does not belong in the file; set {ENV_PREFIX}{name.upper()}, or use key_file."
        for name in ENV_ONLY
        if name in data
    ]
    for table in tables(model):
        inside = _inside(data, table.name)
        problems += [
            f"{file.name}: {'.'.join(table.name)} has both {key.name} and {key.name}_file; keep one of them."
            for key in table.keys
            if key.from_file and {key.name, f"{key.name}_file"} <= inside.keys()
        ]
    return problems


def _first_contact_problem(
    data: Mapping[str, Any], environment: Mapping[str, Any], file: str, model: type[Settings]
) -> list[str]:
    """It may name a side, which pydantic cannot say of a key."""
    path = ("link", "first_contact")
    key = find_key(model, path)
    given = _inside(environment, path[:1]).get(path[1], _inside(data, path[:1]).get(path[1], "ask"))
    sides = model.model_fields["sides"].annotation
    names = sides.model_fields if isinstance(sides, type) and issubclass(sides, BaseModel) else {}
    if key is None or given in {"ask", "lower", "higher", *names}:
        return []
    return [f"{where_of(path, file, environment)} must be {key.form}."]


def _inside(data: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    value: Any = data
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _without_overridden(
    data: Mapping[str, Any], environment: Mapping[str, Any], model: type[Settings]
) -> dict[str, Any]:
    """The file's data without a secret for which the environment names a file."""
    kept = copy.deepcopy(dict(data))
    for table in tables(model):
        for key in table.keys:
            if key.from_file and f"{key.name}_file" in _inside(environment, table.name):
                section = _inside(kept, table.name)
                if isinstance(section, dict):
                    section.pop(key.name, None)
    return kept


def _rooted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The file's data with its relative paths, that of the default database too, made absolute."""
    rooted = _paths_rooted(data, folder)
    rooted.setdefault("database", Settings.model_fields["database"].default)
    database = rooted["database"]
    if isinstance(database, str) and database.startswith(_SQLITE) and database != _SQLITE:
        rooted["database"] = f"{_SQLITE}{folder.absolute() / database.removeprefix(_SQLITE)}"
    return rooted


def _paths_rooted(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    rooted: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            rooted[name] = _paths_rooted(value, folder)
        elif name.endswith("_file") and isinstance(value, str) and value:
            rooted[name] = str(folder.absolute() / value)
        else:
            rooted[name] = value
    return rooted
