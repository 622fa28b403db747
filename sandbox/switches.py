"""Reading and changing a side's behaviour while it serves: a switch for each thing that facts leave open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, get_args, get_type_hints

from sandbox.control_values import ControlError, Json


class Switches:
    """The switches of one behaviour object; `fixed` names those that count only when the side starts."""

    def __init__(self, behaviour: Any, fixed: Collection[str]) -> None:
        self._behaviour = behaviour
        hints = get_type_hints(type(behaviour))
        self._choices = {name: get_args(hint) for name, hint in hints.items()}
        self._names = [
            one.name
            for one in fields(behaviour)
            if one.name not in fixed and _is_plain(getattr(behaviour, one.name))
        ]

    def as_json(self) -> Json:
        return {name: _shown(getattr(self._behaviour, name)) for name in self._names}

    def change(self, wanted: Json) -> Json:
        """Set the named switches, all or none; answer every switch as it then is. Raises ControlError."""
        unknown = sorted(set(wanted) - set(self._names))
        if unknown:
            raise ControlError(
                400, f"no switch that can be set while serving: {', '.join(unknown)}; see behaviour {{}}"
            )
        read = {name: self._read(name, value) for name, value in wanted.items()}
        for name, value in read.items():
            setattr(self._behaviour, name, value)
        return self.as_json()

    def _read(self, name: str, value: object) -> object:
        now = getattr(self._behaviour, name)
        literals = [one for one in self._choices[name] if isinstance(one, str)]
        if literals:
            if value not in literals:
                raise ControlError(400, f"{name} must be one of {', '.join(literals)}")
            return value
        match now:
            case bool():
                fits = isinstance(value, bool)
            case Enum():
                return _member(name, type(now), value)
            case Decimal():
                return _decimal(name, value)
            case int() | float():
                fits = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
                fits = fits and (isinstance(now, float) or isinstance(value, int))
            case str():
                fits = isinstance(value, str)
            case _:
                fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
                value = tuple(value) if isinstance(value, list) else value
        if not fits:
            raise ControlError(400, f"{name} must be like {_shown(now)!r}")
        return value


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, bool | int | float | str | Decimal | Enum)


def _shown(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Decimal():
            return f"{value:f}"
        case tuple():
            return list(value)
    return value


def _member(name: str, kind: type[Enum], value: object) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise ControlError(400, f"{name} must be one of {', '.join(str(one.value) for one in kind)}")


def _decimal(name: str, value: object) -> Decimal:
    try:
        found = Decimal(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or found < 0:
        raise ControlError(400, f"{name} must be a decimal text that is not negative")
    return found
