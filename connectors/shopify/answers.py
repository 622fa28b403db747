"""What an HTTP answer of the Admin API means for the one operation it answers. Pure.

Sources: shopify.md §5 for errors, §6 for costs, §3.1 for search warnings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.api.errors import InDoubt, SideClosed, SideError, Throttled
from connectors.shopify.bucket import ThrottleStatus
from connectors.shopify.operations import Operation
from connectors.shopify.shape import Json, number_or_none

#: Between too short, which is refused again, and longer than a full bucket takes to refill.
THROTTLE_SECONDS_MIN: Final = 0.1
THROTTLE_SECONDS_MAX: Final = 60.0
THROTTLE_SECONDS_DEFAULT: Final = 2.0

#: More points than any plan's bucket holds (shopify.md §6).
POINTS_MAX: Final = 1_000_000.0

REMEDY_UPDATE: Final = "Update giftsync, or set the API version back to one it knows; nothing was changed."

#: HTTP statuses that stop the whole side, with what to do.
_CLOSED_STATUSES: Final = {
    401: (
        "Shopify does not accept the access token",
        "Install the app again, or put a valid Admin API access token into the settings.",
    ),
    402: ("the Shopify shop is frozen", "Settle the shop's bill with Shopify, then resume the link."),
    403: (
        "Shopify forbids the app to use this shop",
        "Check that the app is installed in the shop and that the shop is open.",
    ),
    404: (
        "Shopify knows no such shop or API version",
        "Check the shop's name in the settings: it is the part before .myshopify.com.",
    ),
    423: (
        "the Shopify shop is locked",
        "Ask Shopify's support why the shop is locked, then resume the link.",
    ),
}

#: Codes of requests that were refused as a whole before anything ran.
_INVALID_CODES: Final = frozenset(
    {
        "BAD_REQUEST",
        "INVALID_FIELD_ARGUMENTS",
        "INVALID_VARIABLE",
        "MAX_COST_EXCEEDED",
        "RESOURCE_NOT_FOUND",
        "argumentLiteralsIncompatible",
        "missingRequiredInputObjectAttribute",
        "undefinedField",
    }
)

_SCOPE: Final = re.compile(r"`([a-z_]+)` access scope")
_CODE: Final = re.compile(r"[A-Za-z_]{1,60}")


class TokenRefused(SideClosed):
    """Shopify does not accept the access token: nothing happened."""


class ScopeMissing(SideClosed):
    """The app was not granted what an operation needs."""


@dataclass(frozen=True)
class Cost:
    """`extensions.cost`: points of one request."""

    requested_points: float | None
    actual_points: float | None
    status: ThrottleStatus | None


def error_of_status(status: int, retry_after_seconds: float) -> SideError | None:
    """The error that an HTTP status stands for, or None for one whose body must be read."""
    if status in {429, 430}:
        return Throttled("Shopify asked to slow down", retry_after_seconds)
    if status == 401:
        return TokenRefused(*_CLOSED_STATUSES[status])
    if status in _CLOSED_STATUSES:
        return SideClosed(*_CLOSED_STATUSES[status])
    if status >= 500 or status == 408:
        return InDoubt(f"Shopify answered with HTTP {status}")
    if 300 <= status < 400:
        return SideClosed(
            "Shopify answers for this shop at another address",
            "Check the shop's name in the settings; a renamed shop keeps its first .myshopify.com name.",
        )
    if status >= 400:
        return SideClosed(f"Shopify does not understand giftsync (HTTP {status})", REMEDY_UPDATE)
    return None if status == 200 else InDoubt(f"Shopify answered with HTTP {status}")


def cost_of(body: Json) -> Cost:
    """The cost that a body tells; missing or odd parts are None."""
    cost = _object(_object(body.get("extensions")).get("cost"))
    throttle = _object(cost.get("throttleStatus"))
    maximum, available, restore = (
        number_or_none(throttle, name) for name in ("maximumAvailable", "currentlyAvailable", "restoreRate")
    )
    status = None
    if maximum is not None and available is not None and restore is not None:
        believable = 0 < maximum <= POINTS_MAX and available <= maximum and 0 < restore <= POINTS_MAX
        status = ThrottleStatus(maximum, available, restore) if believable else None
    return Cost(_points(cost, "requestedQueryCost"), _points(cost, "actualQueryCost"), status)


def _points(cost: Json, name: str) -> float | None:
    """A cost that a bucket could pay; anything else would have giftsync wait for points for ever."""
    points = number_or_none(cost, name)
    return points if points is not None and 0 <= points <= POINTS_MAX else None


def throttle_seconds(cost: Cost) -> float:
    """(requested − available) / restore rate, bounded (shopify.md §5)."""
    if cost.status is None or cost.requested_points is None or cost.status.restore_points_per_second <= 0:
        return THROTTLE_SECONDS_DEFAULT
    short = cost.requested_points - cost.status.available_points
    seconds = short / cost.status.restore_points_per_second
    return min(max(seconds, THROTTLE_SECONDS_MIN), THROTTLE_SECONDS_MAX)


def error_of_body(operation: Operation, body: Json) -> SideError | None:
    """The error that a body with HTTP 200 stands for, or None when `data` may be read.

    For a change, an error other than Throttled and SideClosed, or one beside data, is in doubt: a body can
    carry errors and a change that was made (shopify.md §5).
    """
    errors = body.get("errors")
    if not errors:
        return _error_of_warnings(body)
    rows = [_object(row) for row in errors] if isinstance(errors, list) else [{}]
    if operation.changes and not _surely_unchanged(operation, body, rows):
        return InDoubt("Shopify answered with an error that leaves the outcome open")
    found = [_error_of_row(row, body) for row in rows]
    return next((error for error in found if isinstance(error, InDoubt)), found[0])


def parts_of(operation: Operation, body: Json, aliases: Sequence[str]) -> list[Json]:
    """A packed answer as one answer for each alias, to be judged by itself (shopify.md §5).

    An error belongs to the alias that its path begins with; one that names none concerns them all.
    """
    data, errors = body.get("data"), body.get("errors")
    if not isinstance(data, dict):
        return [body] * len(aliases)
    rows = [_object(row) for row in errors] if isinstance(errors, list) else [{}] if errors else []

    def part(alias: str) -> Json:
        theirs = [row for row in rows if _first(row) == alias or _first(row) not in aliases]
        return {**body, "data": {operation.root: data.get(alias)}, "errors": theirs}

    return [part(alias) for alias in aliases]


def _first(row: Json) -> object:
    path = row.get("path")
    return path[0] if isinstance(path, list) and path else None


def _surely_unchanged(operation: Operation, body: Json, rows: list[Json]) -> bool:
    """Whether the change was never started.

    A null root field alone does not show that: an error below it, such as a denied field of the payload,
    makes it null after the change was made. Without data nothing ran, and paths then name the document.
    """
    data = body.get("data")
    if data is None:
        return True
    deep = any(isinstance(path := row.get("path"), list) and len(path) > 1 for row in rows)
    return isinstance(data, dict) and data.get(operation.root) is None and not deep


def _error_of_row(row: Json, body: Json) -> SideError:
    code = _code_of(row)
    if code == "THROTTLED":
        return Throttled("Shopify asked to slow down", throttle_seconds(cost_of(body)))
    if code == "ACCESS_DENIED":
        return _access_denied(row)
    if code == "SHOP_INACTIVE":
        return SideClosed("the Shopify shop is inactive", "Open the shop again, then resume the link.")
    if code in _INVALID_CODES:
        return SideClosed(f"giftsync and this version of Shopify's API disagree ({code})", REMEDY_UPDATE)
    return InDoubt(f"Shopify answered with an error that leaves the outcome open ({code})")


def _access_denied(row: Json) -> ScopeMissing:
    match = _SCOPE.search(str(_object(row.get("extensions")).get("requiredAccess", "")))
    if match is None:
        match = _SCOPE.search(str(row.get("message", "")))
    needed = f"the access scope {match.group(1)}" if match else "an access scope that it has not"
    return ScopeMissing(
        f"Shopify denies the app access: it needs {needed}",
        f"Grant the app {needed} and install it again in the shop.",
    )


def _error_of_warnings(body: Json) -> SideClosed | None:
    """A search term that Shopify ignored makes an answer that looks right and is not (shopify.md §3.1)."""
    searches = _object(body.get("extensions")).get("search")
    for search in searches if isinstance(searches, list) else []:
        if _object(search).get("warnings"):
            return SideClosed("Shopify ignored part of a search that giftsync made", REMEDY_UPDATE)
    return None


def _code_of(row: Json) -> str:
    """The error's code, safe to print; "no code" when there is none."""
    code = _object(row.get("extensions")).get("code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "no code"


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
