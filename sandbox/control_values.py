"""How the control plane reads its JSON: known keys only, and every misfit is a 400 that names the key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

Json = dict[str, object]
_STATUS = re.compile(r"[A-Z][A-Z_]{0,39}", re.ASCII)


@dataclass
class ControlError(Exception):
    """A control-plane call that is refused; answered as `{"error": message}` with `status`."""

    status: int
    message: str


def only(body: Json, *known: str) -> None:
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise ControlError(400, f"unknown keys: {', '.join(unknown)}; known are {', '.join(known) or 'none'}")


def number_in(body: Json, key: str, low: float, high: float) -> float:
    value = body.get(key)
    # NaN compares with nothing, so it is refused as well.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ControlError(400, f"{key} must be a number from {low:g} to {high:g}")
    return float(value)


def flag(body: Json, key: str) -> bool:
    value = body.get(key)
    if not isinstance(value, bool):
        raise ControlError(400, f"{key} must be true or false")
    return value


def text(body: Json, key: str, *, longest: int = 255) -> str:
    """A text that is not empty."""
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ControlError(400, f"{key} must be a text that is not empty")
    if len(value) > longest:
        raise ControlError(400, f"{key} has more than {longest} characters")
    return value.strip()


def moment(body: Json, key: str) -> datetime:
    """An ISO 8601 date-time with an offset."""
    value = body.get(key)
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ControlError(400, f"{key} must be a date-time with an offset")
    return found


def day(body: Json, key: str) -> date | None:
    """A date, or null."""
    value = body.get(key)
    if value is None:
        return None
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise ControlError(400, f"{key} must be null or a date such as 2027-12-31") from None


def currency(body: Json, key: str = "currency") -> str:
    value = body.get(key)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise ControlError(400, f"{key} must be an ISO 4217 code such as NOK")
    return value


def any_status(body: Json, key: str = "status") -> str:
    """A word such as the side's statuses are; it need not be one that the side has."""
    value = body.get(key)
    if not isinstance(value, str) or not _STATUS.fullmatch(value):
        raise ControlError(400, f"{key} must be capital letters and _, such as ACTIVE")
    return value


def signed_minor(body: Json, key: str, decimals: int, *, largest: int = 10**12) -> int:
    """Minor units of an amount of any sign, given as decimal text or JSON number with so many decimals."""
    value = body.get(key)
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidOperation
        minor = Decimal(str(value).strip()).scaleb(decimals)
        if not minor.is_finite() or abs(minor) > largest:
            raise InvalidOperation
    except InvalidOperation:
        raise ControlError(400, f"{key} must be a decimal text or a number") from None
    if minor != minor.to_integral_value():
        raise ControlError(400, f"{key} must have at most {decimals} decimals")
    return int(minor)
