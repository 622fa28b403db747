"""Cards: validate, issue, load, change, history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

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
    CardAnswer,
    ChangeRequest,
    History,
    HistoryLine,
    IssueAnswer,
    IssueRequest,
    LoadAnswer,
    LoadRequest,
    ValidateRequest,
)
from console.api.strict import StrictRoute
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from sync.authority.cards import Key, Wanted, last_four
from sync.decisions.authority import why_not_redeemable
from sync.ledger.hub.redemptions import history_of
from sync.model import Caller, Card

router = APIRouter(prefix="/giftcards", tags=["cards"], route_class=StrictRoute)
_UNSUPPORTED = {
    "item": "A gift of an item and a quantity: no side of this link can hold one, only an amount of money.",
    "promotional": "A voucher with rules of its own: no side of this link can hold such rules.",
}


def _as_kept(desk: Desk, card_id: int) -> Card:
    """The card as the ledger has it. Raises ApiProblem for one whose rows somebody changed."""
    return guarded(lambda: desk.cards.load(card_id))


def card_answer(desk: Desk, card_id: int, card: Card, unseen: frozenset[str] = frozenset()) -> CardAnswer:
    link = desk.hands.link()
    denied = why_not_redeemable(card, link.today)
    money = format_money(card.balance_minor, card.currency)
    return CardAnswer(
        token=desk.cards.ref(card_id),
        redeemable=denied is None,
        reason=None if denied is None else denied.reason.value,
        display=money if denied is None else denied.words,
        balance=decimal(card.balance_minor, card.currency),
        currency=card.currency,
        status=card.status.value,
        expires_on=card.expires_on,
        last_four=last_four(card),
        as_of=link.clock(),
        unseen=sorted(unseen),
    )


@router.post("/validate", summary="What a card is worth, and whether it can be used")
def validate(body: ValidateRequest, session: Caller_, desk: Desk_) -> CardAnswer:
    """`200` for every card that exists for the caller, redeemable or not: always look at `redeemable`."""
    session.check("validate")
    session.location(body.location)
    card_id = guarded(lambda: desk.cards.find(Key(body.number, body.token, body.cvc), session.token.id))
    cvc = desk.cards.for_sides(card_id, body.cvc)

    def ask() -> tuple[Card, frozenset[str]]:
        if body.look == "ledger" and cvc is None:
            return desk.cards.known(card_id)
        return desk.cards.looked_at(card_id, cvc)

    card, unseen = guarded(lambda: desk.cards.asking_sides(card_id, session.token.id, cvc, ask))
    return card_answer(desk, card_id, card, unseen)


@router.post("", status_code=201, summary="Issue a card", response_model=IssueAnswer)
def issue(
    body: IssueRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    """The number is given or taken from the pool; the card is made on every side that may hold it."""
    session.check("issue")
    location = session.location(body.location)
    amount = minor(body.amount, body.currency)

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        if body.type != "monetary":
            raise ApiProblem("type_not_supported", _UNSUPPORTED[body.type])
        wanted = Wanted(amount, body.currency, body.number, body.expires_on, body.brand, body.cvc)
        issued = guarded(lambda: desk.cards.issue(wanted, caller(location, body.reference)))
        day = None if body.expires_on is None else body.expires_on.isoformat()
        told = {
            "card": desk.cards.ref(issued.card_id),
            "balance": decimal(amount, body.currency),
            "currency": body.currency,
            "expires_on": day,
        }
        return Outcome(201, told)

    def reveal(told: Mapping[str, Any]) -> Mapping[str, Any]:
        wanted = Wanted(amount, body.currency)
        issued = desk.cards.issue(wanted, Caller(session.token.id, key=key))
        return {"id": issued.id, **told, "number": issued.serial.written, "cvc": issued.cvc}

    return once(desk, session, request, key, body, work, reveal)


@router.get("/{card}", summary="A card by its token")
def read(card: str, session: Caller_, desk: Desk_) -> CardAnswer:
    session.check("read")
    card_id = guarded(lambda: desk.cards.by_ref(card))
    return card_answer(desk, card_id, _as_kept(desk, card_id))


@router.patch("/{card}", summary="Suspend, activate, close or date a card", response_model=CardAnswer)
def change(
    card: str, body: ChangeRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    """To close a card is for good, and what is on it ends."""
    session.check("manage")
    location = session.location(body.location)
    card_id = guarded(lambda: desk.cards.by_ref(card))
    sets_expiry = "expires_on" in body.model_fields_set
    if body.status is None and not sets_expiry:
        raise ApiProblem("invalid_request", "Say what is to change.", errors=["status: is missing"])

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        guarded(
            lambda: desk.cards.change(
                card_id,
                caller(location, body.reference),
                status=None if body.status is None else CardStatus(body.status),
                expires_on=body.expires_on,
                sets_expiry=sets_expiry,
            )
        )
        return Outcome(200, card_answer(desk, card_id, _as_kept(desk, card_id)).model_dump(mode="json"))

    return once(desk, session, request, key, body, work)


@router.post("/{card}/loads", status_code=201, summary="Put money on a card", response_model=LoadAnswer)
def load(
    card: str, body: LoadRequest, request: Request, key: KeyHeader, session: Caller_, desk: Desk_
) -> JSONResponse:
    session.check("load")
    location = session.location(body.location)
    amount = minor(body.amount, body.currency)
    card_id = guarded(lambda: desk.cards.by_ref(card))

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        made = guarded(
            lambda: desk.cards.load_money(card_id, amount, body.currency, caller(location, body.reference))
        )
        answer = LoadAnswer(
            id=made.id,
            card=card,
            amount=decimal(made.amount_minor, body.currency),
            balance=decimal(made.balance_after_minor, body.currency),
            currency=body.currency,
        )
        return Outcome(201, answer.model_dump(mode="json"))

    return once(desk, session, request, key, body, work)


@router.get("/{card}/history", summary="What happened to a card, oldest first")
def history(
    card: str,
    session: Caller_,
    desk: Desk_,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> History:
    session.check("read")
    card_id = guarded(lambda: desk.cards.by_ref(card))
    after = 0
    if cursor is not None:
        parts = read_cursor(cursor)
        if len(parts) != 1 or type(parts[0]) is not int or not 0 <= parts[0] < 2**62:
            raise ApiProblem("invalid_request", "That is no cursor of ours.", errors=["cursor: is unknown"])
        after = parts[0]
    currency = _as_kept(desk, card_id).currency
    rows = history_of(desk.engine, card_id, after, limit + 1)
    lines = [
        HistoryLine(
            at=row.at,
            kind=row.kind,
            place=row.side,
            amount=decimal(row.amount_minor, currency),
            balance=decimal(row.balance_after_minor, currency),
            redemption=row.redemption_id,
        )
        for row in rows[:limit]
    ]
    more = len(rows) > limit
    return History(card=card, items=lines, next_cursor=cursor_of(rows[limit - 1].position) if more else None)
