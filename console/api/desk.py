"""What the routes share: who calls, amounts, answers that are given once, and cursors."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from console.api.access import Doorkeeper, Session
from console.api.problems import MEDIA_TYPE, PASSING, ApiProblem
from mappings.money import decimal_from_minor, minor_from_decimal
from sync.authority.answers import Reply, answer_once
from sync.authority.cards import CardNotAccepted, Cards, TooManyGuesses
from sync.authority.redemptions import Redemptions
from sync.authority.work import CardBusy, Hands
from sync.decisions.authority import Denied
from sync.ledger.hub.requests import Answer, KeyReused, Requests
from sync.model import Caller, LinkStopped

T = TypeVar("T")

_CARD_NOT_ACCEPTED = "No card can be used with this number, token and CVC."


@dataclass(frozen=True)
class Desk:
    """The authority, as the routes use it."""

    hands: Hands
    cards: Cards
    redemptions: Redemptions
    requests: Requests

    @property
    def engine(self) -> Any:
        return self.hands.link().store.engine


def session_of(request: Request) -> Session:
    """Let the caller in. Raises ApiProblem."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    session, headers = doorkeeper.let_in(request, str(request.scope.get("giftsync.request_id", "")))
    request.scope["giftsync.headers"] = [(n.lower().encode(), v.encode()) for n, v in headers.items()]
    request.scope["giftsync.caller"] = session.token.id
    return session


def desk_of(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


Caller_ = Annotated[Session, Depends(session_of)]
Desk_ = Annotated[Desk, Depends(desk_of)]
KeyHeader = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Yours, one for each thing that you want done. Kept for 90 days.",
    ),
]


def minor(amount: str, currency: str) -> int:
    """An amount in minor units, positive. Raises ApiProblem."""
    try:
        found = minor_from_decimal(amount, currency)
    except ValueError as error:
        raise ApiProblem("invalid_amount", f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    if found <= 0:
        raise ApiProblem("invalid_amount", "The amount has to be more than nothing.")
    return found


def decimal(amount_minor: int, currency: str) -> str:
    return decimal_from_minor(amount_minor, currency)


def guarded(ask: Callable[[], T]) -> T:
    """What the authority answers; its errors as problems."""
    try:
        return ask()
    except Denied as denied:
        raise ApiProblem(denied.reason.value, denied.words, sides=denied.sides) from None
    except CardNotAccepted:
        raise ApiProblem("card_not_accepted", _CARD_NOT_ACCEPTED) from None
    except TooManyGuesses:
        words = "Too many numbers or CVCs did not fit; wait a quarter of an hour."
        raise ApiProblem("too_many_guesses", words, retry_after=900) from None
    except CardBusy:
        words = "The card is being worked on; repeat the request."
        raise ApiProblem("card_busy", words, retry_after=1) from None
    except LinkStopped:
        words = "The link is stopped until somebody at the shop resumes it."
        raise ApiProblem("link_stopped", words, retry_after=60) from None


@dataclass(frozen=True)
class Outcome:
    """What a write came to, as it may be kept."""

    status: int
    body: Mapping[str, Any]
    final: bool = True


def once(
    desk: Desk,
    session: Session,
    request: Request,
    key: str,
    body: BaseModel,
    work: Callable[[Callable[[str, str], Caller]], Outcome],
    reveal: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda told: told,
) -> JSONResponse:
    """Carry a write out once under its key; a repeated request gets the first answer.

    `work` is given how to name its caller. `reveal` adds what is told and not kept.
    """
    store = desk.hands.link().store
    # As it was sent: a field that a later release adds makes no other request of one that is repeated.
    sent = body.model_dump(mode="json", exclude_unset=True)
    said = json.dumps([request.method, request.url.path, sent], sort_keys=True)
    fingerprint = store.vault.fingerprint(said, "api request")

    def caller(location: str, reference: str) -> Caller:
        return Caller(session.token.id, location, reference, key)

    def reply() -> Reply:
        try:
            outcome = work(caller)
        except ApiProblem as problem:
            if problem.code in PASSING or problem.status < 404:
                raise
            return Reply(Answer(problem.status, problem.body()))
        return Reply(Answer(outcome.status, outcome.body), outcome.final)

    try:
        answer = answer_once(
            desk.requests, session.token.id, key, fingerprint, desk.hands.link().clock(), reply
        )
    except KeyReused:
        raise ApiProblem("idempotency_key_reused", "Use a new key for another request.") from None
    if answer.status >= 400:
        body_ = {**answer.body, "request_id": session.request_id}
        return JSONResponse(body_, answer.status, media_type=MEDIA_TYPE)
    headers = {"Retry-After": "1"} if answer.status == 202 else None
    return JSONResponse(dict(reveal(answer.body)), answer.status, headers)


def cursor_of(*parts: object) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(json.dumps(parts, default=str).encode()).decode()


def read_cursor(text: str) -> list[Any]:
    """Raises ApiProblem."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(text.encode("ascii", "strict")))
    except (ValueError, binascii.Error):
        raise ApiProblem(
            "invalid_request", "That is no cursor of ours.", errors=["cursor: is unknown"]
        ) from None
    if not isinstance(parts, list):
        raise ApiProblem("invalid_request", "That is no cursor of ours.", errors=["cursor: is unknown"])
    return parts
