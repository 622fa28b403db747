"""Errors of the API as RFC 9457 problems with stable codes; their words never hold what the caller sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

MEDIA_TYPE: Final = "application/problem+json"
#: Every code: the status that it comes with, and its title.
CODES: Final[Mapping[str, tuple[int, str]]] = {
    "invalid_request": (400, "The request is malformed"),
    "invalid_amount": (400, "The amount cannot be taken"),
    "unauthorized": (401, "A valid token is needed"),
    "forbidden": (403, "The token does not allow this"),
    "location_not_allowed": (403, "The token is not for this location"),
    "not_found": (404, "There is no such thing"),
    "card_not_accepted": (404, "No card can be used with this"),
    "method_not_allowed": (405, "The method is not allowed here"),
    "idempotency_key_reused": (409, "The Idempotency-Key belongs to another request"),
    "redemption_refused": (409, "The redemption was refused"),
    "insufficient_funds": (409, "There is less on the card"),
    "currency_mismatch": (409, "The card is in another currency"),
    "not_active": (409, "The card is not activated"),
    "suspended": (409, "The card is suspended"),
    "closed": (409, "The card is closed"),
    "expired": (409, "The card has expired"),
    "empty": (409, "Nothing is left on the card"),
    "needs_attention": (409, "The shop has to look at the card first"),
    "side_not_debitable": (409, "The card cannot be charged everywhere"),
    "not_reversible": (409, "There is nothing to give back"),
    "not_authorized": (409, "The authorization cannot be captured"),
    "over_amount": (409, "The amount is more than is left"),
    "over_limit": (409, "A card may not hold that much"),
    "number_taken": (409, "The number is in use"),
    "number_refused": (409, "The number cannot be used"),
    "type_not_supported": (409, "No side can hold such a gift"),
    "too_large": (413, "The request is too large"),
    "too_many_requests": (429, "Too many requests"),
    "too_many_guesses": (429, "Too many numbers or CVCs did not fit"),
    "side_unavailable": (503, "A side cannot be reached"),
    "card_busy": (503, "The card is being worked on"),
    "link_stopped": (503, "The link is stopped"),
    "pool_empty": (503, "The pool of numbers is empty"),
    "unavailable": (503, "giftsync cannot answer now"),
}
#: Worth trying again, so that no such answer is kept for the key.
PASSING: Final = frozenset(code for code, (status, _) in CODES.items() if status in (429, 503))


class Problem(BaseModel):
    """Why a request was not carried out (RFC 9457)."""

    type: str = Field(description="Identifies the kind of problem, like `code`.")
    title: str
    status: int
    code: str = Field(description="Stable. Decide by this, never by words.")
    detail: str = Field(description="For the person at the till.")
    request_id: str
    errors: list[str] = Field(default_factory=list, description="What is wrong, field by field.")
    sides: list[str] = Field(default_factory=list, description="The sides that are concerned.")
    redemption: dict[str, Any] | None = Field(
        default=None, description="Of `redemption_refused`: the redemption as it ended."
    )


class ApiProblem(Exception):
    """To be answered as a problem."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[str] = (),
        sides: Sequence[str] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.errors, self.sides = list(errors), list(sides)
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    @property
    def status(self) -> int:
        return CODES[self.code][0]

    def body(self) -> dict[str, Any]:
        """Without the id of the request, which differs when it is repeated."""
        return {
            "type": f"urn:giftsync:problem:{self.code}",
            "title": CODES[self.code][1],
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "errors": self.errors,
            "sides": self.sides,
            "redemption": None,
        }


def respond(problem: ApiProblem, request_id: str) -> JSONResponse:
    body = {**problem.body(), "request_id": request_id}
    return JSONResponse(body, problem.status, problem.headers, media_type=MEDIA_TYPE)
