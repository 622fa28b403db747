"""Redemptions and authorizations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from console.api.access import Session
from console.api.desk import (
    Caller_,
    Desk,
    Desk_,
    KeyHeader,
    Outcome,
    cursor_of,
    decimal,
    guarded,
    minor,
    once,
    read_cursor,
)
from console.api.problems import ApiProblem
from console.api.shapes import (
    PAGE_MAX,
    AuthorizationRequest,
    PartRequest,
    RedemptionAnswer,
    RedemptionList,
    RedemptionRequest,
    VoidRequest,
)
from console.api.strict import StrictRoute
from sync.authority.cards import Key
from sync.authority.redemptions import Wish
from sync.ledger.hub.redemptions import RedemptionRow, find_redemption, redemptions_by
from sync.model import Caller, RedemptionState

router = APIRouter(tags=["redemptions"], route_class=StrictRoute)
_PENDING: dict[int | str, dict[str, Any]] = {
    202: {"model": RedemptionAnswer, "description": "Not certain yet: ask again."}
}
#: What a caller asks of a redemption or authorization that there is.
Change = Callable[[RedemptionRow, int | None, Caller], RedemptionRow]


def answer_of(desk: Desk, row: RedemptionRow) -> RedemptionAnswer:
    return RedemptionAnswer(
        id=row.id,
        card=desk.cards.ref(row.card_id),
        kind="redemption" if row.kind == "redemption" else "authorization",
        state=row.state.value,
        mode="authorise" if row.mode == "authorise" else "record",
        confirmed=row.confirmed,
        amount=decimal(row.amount_minor, row.currency),
        asked=decimal(row.asked_minor, row.currency),
        balance=decimal(row.balance_after_minor, row.currency),
        currency=row.currency,
        location=row.location,
        reference=row.reference,
        reason=row.reason,
        made_at=row.made_at,
        ends_at=row.ends_at,
    )


def _outcome(desk: Desk, row: RedemptionRow) -> Outcome:
    body = answer_of(desk, row).model_dump(mode="json")
    if row.state is RedemptionState.PENDING:
        return Outcome(202, body, final=False)
    if row.state is RedemptionState.REFUSED:
        problem = ApiProblem("redemption_refused", f"The payment was not taken: {row.reason}.")
        return Outcome(problem.status, {**problem.body(), "redemption": body})
    return Outcome(201, body)


def _redeem(
    body: RedemptionRequest,
    request: Request,
    key: str,
    session: Session,
    desk: Desk,
    capture_seconds: float | None,
) -> JSONResponse:
    session.check("redeem")
    location = session.location(body.location)
    wish = Wish(minor(body.amount, body.currency), body.currency, capture_seconds)

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        card_id = guarded(lambda: desk.cards.find(Key(body.number, body.token, body.cvc), session.token.id))
        cvc = desk.cards.for_sides(card_id, body.cvc)

        def pay() -> RedemptionRow:
            return desk.redemptions.redeem(card_id, wish, caller(location, body.reference), cvc)

        made = guarded(lambda: desk.cards.asking_sides(card_id, session.token.id, cvc, pay))
        return _outcome(desk, made)

    return once(desk, session, request, key, body, work)


@router.post(
    "/redemptions",
    status_code=201,
    response_model=RedemptionAnswer,
    responses=_PENDING,
    summary="Pay with a card",
)
def redeem(
    body: RedemptionRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    """`201`: it is paid. `202`: not certain yet. Anything else: hand nothing over."""
    return _redeem(body, request, key, session, desk, None)


@router.post(
    "/authorizations",
    status_code=201,
    response_model=RedemptionAnswer,
    responses=_PENDING,
    summary="Hold an amount for a checkout that pays later",
)
def authorize(
    body: AuthorizationRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    """The amount is off the card until it is captured, voided or expires."""
    return _redeem(body, request, key, session, desk, float(body.expires_in_seconds))


@router.get("/redemptions", summary="What this token asked for, the newest first")
def redemptions(
    session: Caller_,
    desk: Desk_,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> RedemptionList:
    session.check("redeem")
    after = None if cursor is None else _place(cursor)
    rows = redemptions_by(desk.engine, session.token.id, after, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    return RedemptionList(
        items=[answer_of(desk, row) for row in rows[:limit]],
        next_cursor=None if last is None else cursor_of(last.made_at.isoformat(), last.id),
    )


def _place(cursor: str) -> tuple[datetime, str]:
    parts = read_cursor(cursor)
    try:
        at, last = parts
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not isinstance(last, str) or "\x00" in last:
            raise ValueError
        return moment, last
    except (ValueError, TypeError, OverflowError):
        raise ApiProblem(
            "invalid_request", "That is no cursor of ours.", errors=["cursor: is unknown"]
        ) from None


def _found(desk: Desk, session: Session, redemption_id: str, kind: str | None = None) -> RedemptionRow:
    row = find_redemption(desk.engine, redemption_id) if redemption_id.isascii() else None
    mine = row is not None and session.may_see(row.token_id, row.location)
    if row is None or not mine or (kind is not None and row.kind != kind):
        raise ApiProblem("not_found", "There is no such redemption for this token.")
    return row


@router.get("/redemptions/{redemption}", summary="A redemption or authorization as it is now")
def read(redemption: str, session: Caller_, desk: Desk_) -> RedemptionAnswer:
    session.check("redeem")
    return answer_of(desk, _found(desk, session, redemption))


@router.get("/authorizations/{authorization}", summary="An authorization as it is now")
def read_authorization(authorization: str, session: Caller_, desk: Desk_) -> RedemptionAnswer:
    session.check("redeem")
    return answer_of(desk, _found(desk, session, authorization, "authorization"))


def _change(
    row: RedemptionRow,
    body: PartRequest | VoidRequest,
    request: Request,
    key: str,
    session: Session,
    desk: Desk,
    change: Change,
) -> JSONResponse:
    location = session.location(body.location)
    part = body.amount if isinstance(body, PartRequest) else None
    amount = None if part is None else minor(part, row.currency)

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        made = guarded(lambda: change(row, amount, caller(location, body.reference)))
        return Outcome(200, answer_of(desk, made).model_dump(mode="json"))

    return once(desk, session, request, key, body, work)


@router.post(
    "/redemptions/{redemption}/reversal",
    response_model=RedemptionAnswer,
    summary="Give a redemption back, whole or in part",
)
def reverse(
    redemption: str, body: PartRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    """Also while it is pending."""
    session.check("reverse")
    row = _found(desk, session, redemption)
    return _change(row, body, request, key, session, desk, desk.redemptions.reverse)


@router.post(
    "/authorizations/{authorization}/capture",
    response_model=RedemptionAnswer,
    summary="Take what was authorized, for less if so",
)
def capture(
    authorization: str, body: PartRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    session.check("redeem")
    row = _found(desk, session, authorization, "authorization")
    return _change(row, body, request, key, session, desk, desk.redemptions.capture)


@router.post(
    "/authorizations/{authorization}/void",
    response_model=RedemptionAnswer,
    summary="Give back what was authorized",
)
def void(
    authorization: str, body: VoidRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    session.check("redeem")
    row = _found(desk, session, authorization, "authorization")
    return _change(
        row, body, request, key, session, desk, lambda r, _, caller: desk.redemptions.void(r, caller)
    )
