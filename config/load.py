"""Reads the settings: a TOML file, then the environment, which wins."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from config.errors import ConfigError
from config.keys import ENV_ONLY, ENV_PREFIX, tables
from config.problems import needed, sentences, suggestion
from config.settings import Settings

FILE_DEFAULT = Path("giftsync.toml")
_SQLITE = "sqlite:///"
_KEY_SUFFIX = ".key"


def load(path: Path | None = None) -> Settings:
    """The settings of `path`, or of ./giftsync.toml, overridden by the environment.

    A relative path in the file is taken from the file's folder, so that giftsync finds the same ledger
    wherever it is started. Raises ConfigError, which names every problem at once.
    """
    file = path or FILE_DEFAULT
    data = _read(file, required=path is not None)
    environment = _environment()
    problems = _env_problems() + _file_problems(file, data or {})
    try:
        settings = Settings(**_rooted(_without_overridden(data or {}, environment), file.parent))
    except ValidationError as error:
        if data is None and not environment:
            raise _no_file(file) from None
        found = sentences(error, file.name, environment) + _dependent(data or {}, environment, file.name)
        raise ConfigError(problems + list(dict.fromkeys(found))) from None
    except SettingsError:
        raise ConfigError(
            [f"The environment cannot set a whole table; set its keys, as {ENV_PREFIX}SHOPIFY__TOKEN."]
        ) from None
    if problems:
        raise ConfigError(problems)
    return settings


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


def _environment() -> dict[str, Any]:
    """What the environment gives, as nested tables; the values may be secret."""
    try:
        return dict(EnvSettingsSource(Settings)())
    except SettingsError:
        return {}


def _env_problems() -> list[str]:
    """A misspelt variable would otherwise be passed over in silence."""
    known = {table.name[0] if table.name else key.name for table in tables() for key in table.keys}
    return [
        f"the environment variable {name} is not a setting{suggestion((first,))}."
        for name in sorted(os.environ)
        if name.startswith(ENV_PREFIX)
        and (first := name.removeprefix(ENV_PREFIX).lower().split("__")[0]) not in known
    ]


def _file_problems(file: Path, data: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{file.name}: {name} does not belong in the file; set {ENV_PREFIX}{name.upper()}, or use key_file."
        for name in ENV_ONLY
        if name in data
    ]
    for table in tables():
        inside = _inside(data, table.name)
        problems += [
            f"{file.name}: {'.'.join(table.name)} has both {key.name} and {key.name}_file; keep one of them."
            for key in table.keys
            if key.from_file and {key.name, f"{key.name}_file"} <= inside.keys()
        ]
    return problems


def _dependent(data: Mapping[str, Any], environment: Mapping[str, Any], file: str) -> list[str]:
    """What `Settings` asks for across tables, which it does only when every table is right in itself."""

    def value(table: str, key: str) -> Any:
        return _inside(environment, (table,)).get(key, _inside(data, (table,)).get(key))

    sends = value("link", "send_notifications")
    if str(sends).lower() != "true" or value("shopify", "attaching_notifies") is not None:
        return []
    return [needed(("shopify", "attaching_notifies"), file)]


def _inside(data: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    value: Any = data
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _without_overridden(data: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The file's data without a secret for which the environment names a file."""
    kept = {name: dict(value) if isinstance(value, dict) else value for name, value in data.items()}
    for table in tables():
        for key in table.keys:
            if key.from_file and f"{key.name}_file" in _inside(environment, table.name):
                section = kept.get(table.name[0])
                if isinstance(section, dict):
                    section.pop(key.name, None)
    return kept


def _rooted(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The file's data with its relative paths, that of the default database too, made absolute."""
    rooted = dict(data)
    rooted.setdefault("database", Settings.model_fields["database"].default)
    database = rooted["database"]
    if isinstance(database, str) and database.startswith(_SQLITE) and database != _SQLITE:
        rooted["database"] = f"{_SQLITE}{folder.absolute() / database.removeprefix(_SQLITE)}"
    for holder in (rooted, *(value for value in rooted.values() if isinstance(value, dict))):
        for name, value in holder.items():
            if name.endswith("_file") and isinstance(value, str) and value:
                holder[name] = str(folder.absolute() / value)
    return rooted
