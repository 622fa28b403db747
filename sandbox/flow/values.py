"""Values at the edges: money x100, instants, and strictly read JSON objects (flow.md §1).

Inside the emulator money is a whole number of minor units, an instant whole milliseconds since 1970 UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import NoReturn

from sandbox.flow.errors import FlowError, bad_request

#: Tells the time, zone-aware.
Clock = Callable[[], datetime]

PATH_ID = re.compile(r"[A-Za-z0-9_-]+")
EXTERNAL_REFERENCE = re.compile(r"[A-Za-z0-9_-]*")
#: Larger amounts are a mistake of the caller rather than money.
AMOUNT_MAX = 10**12
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_INSTANT_MAX_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 UTC of a zone-aware moment."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return (moment - _EPOCH) // _MILLISECOND


def instant_text(ms: int) -> str:
    """`2025-10-30T21:24:19.803Z`, the documented form of an instant (flow.md §3)."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> int:
    """Milliseconds of an RFC 3339 date-time with an offset. Raises ValueError for anything else."""
    if not _INSTANT.fullmatch(text):
        raise ValueError("not a date-time with an offset")
    ms = to_ms(datetime.fromisoformat(text.upper()))
    if not 0 <= ms <= _INSTANT_MAX_MS:
        raise ValueError("not between 1970 and 9999")
    return ms


def money_text(minor: int) -> str:
    """Minor units as a decimal string with two places: 15050 is "150.50"."""
    whole, rest = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:02d}"


#: Currencies that have no smaller part (ISO 4217); the API still writes their amounts x100.
_WHOLE_ONLY = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"


def amount_step(currency: str) -> int:
    """The smallest amount that a till takes, in hundredths; a thousandth cannot be written (flow.md §1)."""
    return 100 if currency in _WHOLE_ONLY.split(" ") else 1


def minor_of(value: object) -> int:
    """Minor units of a positive decimal string or JSON number.

    Raises ValueError for zero, negatives and fractions of a minor unit, TypeError for other types.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("must be a decimal string or a number")
    try:
        amount = Decimal(str(value)) if not isinstance(value, str) else Decimal(value.strip())
    except InvalidOperation:
        raise ValueError("must be a decimal number") from None
    if not amount.is_finite():
        raise ValueError("must be a finite number")
    if amount <= 0:
        raise ValueError("must be greater than zero")
    if amount > AMOUNT_MAX // 100:
        raise ValueError("is too large")
    minor = amount * 100
    if minor != minor.to_integral_value():
        raise ValueError("must not have fractions of a minor unit")
    return int(minor)


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object of a request body. Raises FlowError 400 for anything else."""
    try:
        parsed = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise bad_request("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise bad_request("the body must be a JSON object")
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


class Fields:
    """One JSON object of a request, read key by key; every misfit is a FlowError 400 naming the key."""

    def __init__(self, raw: Mapping[str, object], known: Collection[str], *, refuse_unknown: bool) -> None:
        unknown = sorted(set(raw) - set(known))
        if unknown and refuse_unknown:
            raise bad_request(f"unknown keys: {', '.join(unknown)}")
        self._raw = raw

    def has(self, key: str) -> bool:
        return key in self._raw

    def is_null(self, key: str) -> bool:
        return key in self._raw and self._raw[key] is None

    def text(self, key: str, default: str | None = None) -> str:
        """A string; `default` when the key is absent, required without one."""
        if key not in self._raw:
            if default is None:
                raise _misfit(key, "is required")
            return default
        value = self._raw[key]
        if not isinstance(value, str):
            raise _misfit(key, "must be a string")
        return value

    def choice(self, key: str, allowed: Collection[str], default: str | None = None) -> str:
        value = self.text(key, default)
        if value not in allowed:
            raise _misfit(key, f"must be one of {', '.join(allowed)}")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; floats, booleans and numeric strings are refused (flow.md §1)."""
        if key not in self._raw:
            if default is None:
                raise _misfit(key, "is required")
            return default
        value = self._raw[key]
        if isinstance(value, bool) or not isinstance(value, int):
            raise _misfit(key, "must be an integer (x100)")
        if abs(value) > AMOUNT_MAX:
            raise _misfit(key, "is too large")
        return value

    def flag(self, key: str, default: bool | None = None) -> bool:
        value = self._raw.get(key, default)
        if not isinstance(value, bool):
            raise _misfit(key, "must be true or false")
        return value

    def instant(self, key: str) -> int:
        """Milliseconds of a date-time with an offset."""
        try:
            return parse_instant(self.text(key))
        except ValueError:
            raise _misfit(key, "must be a date-time with an offset") from None

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; absent is empty."""
        value = self._raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise _misfit(key, "must be a list of strings")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, object]:
        """An object; absent is empty."""
        value = self._raw.get(key, {})
        if not isinstance(value, dict):
            raise _misfit(key, "must be an object")
        return value

    def objects(self, key: str) -> list[dict[str, object]]:
        """A list of objects; absent is empty."""
        value = self._raw.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise _misfit(key, "must be a list of objects")
        return value

    def pairs(self, key: str) -> dict[str, str]:
        """A list of `{"key", "value"}` without repeated keys; absent is empty."""
        value = self._raw.get(key, [])
        if not isinstance(value, list):
            raise _misfit(key, "must be a list")
        found: dict[str, str] = {}
        for entry in value:
            if not isinstance(entry, dict) or set(entry) != {"key", "value"}:
                raise _misfit(key, 'must hold {"key", "value"} objects')
            name, text = entry["key"], entry["value"]
            if not isinstance(name, str) or not isinstance(text, str) or name in found:
                raise _misfit(key, "must hold strings under distinct keys")
            found[name] = text
        return found


def _misfit(key: str, problem: str) -> FlowError:
    return bad_request(f"{key} {problem}")
