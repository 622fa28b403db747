"""VTEX's Gift Card Provider Protocol, answered from the ledger (vtex.md).

A debit is an authorization of the hub, a settlement captures it, a cancellation gives back. VTEX repeats a
request under its request id and gets the first answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from console.api.access import Doorkeeper, Session
from console.api.app import framed
from console.api.desk import Desk, Desk_, Outcome, guarded, once
from console.api.problems import ApiProblem
from console.providers.vtex_shapes import (
    Asked,
    CreateRequest,
    PartRequest,
    SearchRequest,
    TransactionRequest,
    minor_of,
    moment_of,
    number_of,
)
from sync.authority.cards import CardNotAccepted, Key, Wanted, last_four
from sync.authority.redemptions import Wish
from sync.decisions.authority import why_not_redeemable
from sync.ledger.hub.redemptions import (
    EntryRow,
    RedemptionRow,
    entries_of,
    find_entry,
    find_redemption,
    history_of,
    made_by,
    redemptions_of,
)
from sync.model import Caller, Card, HubEntryKind, RedemptionState

PREFIX: Final = "/providers/vtex"
PROVIDER: Final = "giftsync"
#: A cart and its customer come with each transaction.
BODY_BYTES_MAX: Final = 256 * 1024
#: How long an order may wait to be settled; then its money goes back to the card.
CAPTURE_SECONDS: Final = 30 * 86_400.0
#: For a card that never expires; whether VTEX takes null is unknown (vtex.md §3).
NEVER: Final = "2999-12-31T23:59:59"
_CREDITS: Final = (HubEntryKind.LOAD, HubEntryKind.ISSUE)
_BACK: Final = (HubEntryKind.REVERSAL, HubEntryKind.VOID)
_NEW: Final = re.compile(r"crn_([0-9]{8}|never)_([0-9a-f]{32})_([0-9a-f]{32})")
_NOT_REFERENCE: Final = re.compile(r"[^A-Za-z0-9 ._:/#-]")

router = APIRouter()


def create_vtex(desk: Desk, doorkeeper: Doorkeeper) -> FastAPI:
    """The protocol, to be mounted at PREFIX, which is the `serviceUrl` that VTEX is told."""
    app = FastAPI(title="giftsync for VTEX", openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router)
    return framed(app, desk, doorkeeper, BODY_BYTES_MAX)


def session_of(request: Request) -> Session:
    """Let VTEX in by its app key and token: a token's id and secret. Raises ApiProblem."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    headers = request.headers
    session, told = doorkeeper.let_in_by(
        headers.get("x-provider-api-apptoken", ""),
        request,
        str(request.scope.get("giftsync.request_id", "")),
        token_id=headers.get("x-provider-api-appkey", ""),
    )
    request.scope["giftsync.headers"] = [(n.lower().encode(), v.encode()) for n, v in told.items()]
    request.scope["giftsync.caller"] = session.token.id
    return session


Vtex = Annotated[Session, Depends(session_of)]


# --- cards --------------------------------------------------------------------------------------------------


@router.post("/giftcards/_search")
def search(body: SearchRequest, session: Vtex, desk: Desk_) -> JSONResponse:
    """The card with the code that the customer typed, if it can be used; giftsync knows no customers."""
    session.check("validate")
    found: list[dict[str, Any]] = []
    code = body.cart.redemptionCode
    if code:
        card_id = _named(desk, session, code)
        card = None if card_id is None else desk.cards.load(card_id)
        if card_id is not None and card is not None and _is_usable(desk, card):
            found.append(
                {
                    "id": desk.cards.ref(card_id),
                    "provider": PROVIDER,
                    "balance": number_of(card.balance_minor, card.currency),
                    "totalBalance": number_of(card.balance_minor, card.currency),
                    "groupName": PROVIDER,
                    "_self": {"href": _href(desk.cards.ref(card_id))},
                }
            )
    last = max(len(found) - 1, 0)
    return JSONResponse(found, headers={"REST-Content-Range": f"resources 0-{last}/{len(found)}"})


def _named(desk: Desk, session: Session, code: str) -> int | None:
    """None when no card can be used with it: VTEX shows that as an unknown code."""

    def find() -> int | None:
        try:
            return desk.cards.find(Key(number=code), session.token.id)
        except CardNotAccepted:
            return None

    return guarded(find)


def _is_usable(desk: Desk, card: Card) -> bool:
    return why_not_redeemable(card, desk.hands.link().today) is None


@router.get("/giftcards/{card}")
def read(card: str, session: Vtex, desk: Desk_) -> dict[str, Any]:
    """From the ledger alone: VTEX waits a second and a half (vtex.md §3)."""
    session.check("validate")
    card_id = _card_id(desk, session, card)
    if card_id is None:
        return _shown(desk, card, None, None, "")
    found = guarded(lambda: desk.cards.load(card_id))
    mine = card.startswith("crn_") and "issue" in session.token.scopes
    serial = next((p.serial for p in found.presences if p.serial is not None), None)
    # Whoever had the card made hands its code to the customer; nobody else is told it.
    code = serial.written if mine and serial is not None else last_four(found)
    return _shown(desk, card, card_id, found, code)


def _shown(desk: Desk, ref: str, card_id: int | None, card: Card | None, code: str) -> dict[str, Any]:
    link = desk.hands.link()
    began = history_of(desk.engine, card_id, 0, 1) if card_id is not None else []
    day = card.expires_on if card is not None else _day_of(ref)
    currency = card.currency if card is not None else link.currency or ""
    usable = card is not None and _is_usable(desk, card)
    return {
        "id": ref,
        "redemptionToken": ref,
        "redemptionCode": code,
        "balance": number_of(card.balance_minor, currency) if card is not None and usable else 0.0,
        "emissionDate": moment_of(began[0].at if began else link.clock()),
        "expiringDate": NEVER if day is None else f"{day.isoformat()}T23:59:59",
        "currencyCode": currency,
        "discount": False,
        "transaction": {"href": f"{_href(ref)}/transactions"},
        "transactions": {"href": f"{_href(ref)}/transactions"},
    }


@router.post("/giftcards")
def create(body: CreateRequest, session: Vtex, desk: Desk_) -> dict[str, Any]:
    """The name of a card that its first credit makes: VTEX makes cards empty, and not every side does."""
    session.check("issue")
    link = desk.hands.link()
    if body.restrictedToOwner or not body.multipleRedemptions:
        raise ApiProblem(
            "type_not_supported", "A card that is its owner's alone, or is used once only, cannot be made."
        )
    if body.currencyCode not in (None, link.currency):
        raise ApiProblem("currency_mismatch", f"Cards are in {link.currency} here.")
    day = None
    if body.expiringDate is not None:
        at = body.expiringDate
        try:
            day = (at if at.tzinfo is None else at.astimezone(link.timezone)).date()
        except OverflowError:
            raise ApiProblem(
                "invalid_request", "That is no date that a card can end.", errors=["expiringDate: is unknown"]
            ) from None
    until = "never" if day is None else day.isoformat().replace("-", "")
    said = "\0".join((session.token.id, body.relationName, body.profileId, until))
    tag = link.store.vault.outer_id(said, "vtex card")[:32]
    made = f"crn_{until}_{tag}_{_proof(desk, session, until, tag)}"
    return {
        "id": made,
        "relationName": body.relationName,
        "emissionDate": moment_of(link.clock()),
        "expiringDate": NEVER if day is None else f"{day.isoformat()}T23:59:59",
        "caption": body.caption,
        "restrictedToOwner": False,
        "multipleRedemptions": True,
        "multipleCredits": True,
        "profileId": body.profileId,
        "currencyCode": link.currency,
        "_self": {"href": _href(made)},
    }


def _proof(desk: Desk, session: Session, until: str, tag: str) -> str:
    said = "\0".join((session.token.id, until, tag))
    return desk.hands.link().store.vault.outer_id(said, "vtex card id")[:32]


def _day_of(ref: str) -> date | None:
    found = _NEW.fullmatch(ref)
    if found is None or found[1] == "never":
        return None
    return datetime.strptime(found[1], "%Y%m%d").date()  # noqa: DTZ007 a day has no zone


def _card_id(desk: Desk, session: Session, ref: str) -> int | None:
    """The card; None for one that its first credit is yet to make. Raises ApiProblem."""
    found = _NEW.fullmatch(ref)
    if found is None:
        return guarded(lambda: desk.cards.by_ref(ref))
    if _proof(desk, session, found[1], found[2]) != found[3]:
        raise ApiProblem("not_found", "There is no such gift card for this token.")
    made = made_by(desk.engine, session.token.id, _create_key(ref))
    entry = None if made is None else find_entry(desk.engine, made)
    return None if entry is None else entry.card_id


def _create_key(ref: str) -> str:
    return f"vtex-new:{ref}"


def _href(ref: str) -> str:
    return f"{PREFIX}/giftcards/{ref}"


# --- transactions -------------------------------------------------------------------------------------------


@router.post("/giftcards/{card}/transactions")
def transact(
    card: str, body: TransactionRequest, request: Request, session: Vtex, desk: Desk_
) -> JSONResponse:
    """A debit holds the amount for the order; a credit puts it on the card."""
    session.check("redeem" if body.operation == "Debit" else "load")
    location = session.location(None)
    card_id = _card_id(desk, session, card)
    order = body.orderInfo.orderId if body.orderInfo is not None else None
    reference = _NOT_REFERENCE.sub("", order or body.description or "")[:64]
    asked = Asked(what=body.operation, value=f"{body.value:f}")
    if body.operation == "Credit" and _NEW.fullmatch(card):
        try:
            return _issue(card, body, request, session, desk, location, reference)
        except ApiProblem as problem:
            # Another credit has made the card: this one is put on it.
            if card_id is None or problem.code != "idempotency_key_reused":
                raise
    if card_id is None:
        raise ApiProblem("empty", "Nothing is on this card.")
    known = card_id
    currency = guarded(lambda: desk.cards.load(known)).currency
    amount = minor_of(body.value, currency)

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        mine = caller(location, reference)
        if body.operation == "Credit":
            loaded = guarded(lambda: desk.cards.load_money(known, amount, currency, mine))
            return Outcome(200, _named_transaction(card, loaded.id))
        wish = Wish(amount, currency, CAPTURE_SECONDS)
        return _held(card, guarded(lambda: desk.redemptions.redeem(known, wish, mine)))

    return once(desk, session, request, f"vtex-t:{known}:{body.requestId}", asked, work)


def _held(card: str, row: RedemptionRow) -> Outcome:
    if row.state is RedemptionState.PENDING:
        raise ApiProblem("unavailable", "The payment is not certain yet; repeat the request.", retry_after=1)
    if row.state is RedemptionState.REFUSED:
        raise ApiProblem("redemption_refused", f"The payment was not taken: {row.reason}.")
    return Outcome(200, _named_transaction(card, row.id))


def _issue(
    card: str,
    body: TransactionRequest,
    request: Request,
    session: Session,
    desk: Desk,
    location: str,
    reference: str,
) -> JSONResponse:
    """Make the card that was named before, with its first credit."""
    session.check("issue")
    currency = desk.hands.link().currency or ""
    wanted = Wanted(minor_of(body.value, currency), currency, expires_on=_day_of(card))

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        issued = guarded(lambda: desk.cards.issue(wanted, caller(location, reference)))
        return Outcome(200, _named_transaction(card, issued.id))

    # The key is the card's, so that two first credits at the same time make one card.
    asked = Asked(what=f"Credit {body.requestId}", value="")
    return once(desk, session, request, _create_key(card), asked, work)


def _named_transaction(card: str, transaction: str) -> dict[str, Any]:
    href = f"{_href(card)}/transactions/{transaction}"
    return {"cardId": card, "id": transaction, "_self": {"href": href}}


@router.get("/giftcards/{card}/transactions")
def transactions(card: str, session: Vtex, desk: Desk_) -> list[dict[str, Any]]:
    session.check("validate")
    card_id = _card_id(desk, session, card)
    if card_id is None:
        return []
    held = [(r.made_at, r.id) for r in redemptions_of(desk.engine, card_id) if _sees(session, r)]
    credits = [
        (e.at, e.id) for e in entries_of(desk.engine, card_id) if e.kind in _CREDITS and _sees(session, e)
    ]
    return [_named_transaction(card, one) for _, one in sorted(held + credits)]


def _sees(session: Session, row: RedemptionRow | EntryRow) -> bool:
    return session.may_see(row.token_id, row.location)


def _debit(desk: Desk, session: Session, card: str, transaction: str) -> RedemptionRow:
    """Raises ApiProblem."""
    card_id = _card_id(desk, session, card)
    row = find_redemption(desk.engine, transaction) if transaction.isascii() else None
    if row is None or row.card_id != card_id or not _sees(session, row):
        raise ApiProblem("not_found", "There is no such transaction of this card for this token.")
    return row


def _credit(desk: Desk, session: Session, card: str, transaction: str) -> EntryRow | None:
    card_id = _card_id(desk, session, card)
    entry = find_entry(desk.engine, transaction) if transaction.isascii() else None
    mine = entry is not None and entry.card_id == card_id and _sees(session, entry)
    return entry if entry is not None and mine and entry.kind in _CREDITS else None


@router.get("/giftcards/{card}/transactions/{transaction}")
def read_transaction(card: str, transaction: str, session: Vtex, desk: Desk_) -> dict[str, Any]:
    session.check("validate")
    credit = _credit(desk, session, card, transaction)
    if credit is not None:
        currency = desk.cards.load(credit.card_id).currency
        value, at, words = number_of(credit.amount_minor, currency), credit.at, credit.reference
    else:
        row = _debit(desk, session, card, transaction)
        value, at, words = number_of(row.asked_minor, row.currency), row.made_at, row.reference
    href = f"{_href(card)}/transactions/{transaction}"
    return {
        "value": value,
        "description": words,
        "date": moment_of(at),
        "settlement": {"href": f"{href}/settlements"},
        "cancellation": {"href": f"{href}/cancellations"},
        "authorization": {"href": f"{href}/authorization"},
        "operation": "Debit" if credit is None else "Credit",
    }


@router.get("/giftcards/{card}/transactions/{transaction}/authorization")
def authorization(card: str, transaction: str, session: Vtex, desk: Desk_) -> dict[str, Any]:
    session.check("validate")
    credit = _credit(desk, session, card, transaction)
    if credit is not None:
        currency = desk.cards.load(credit.card_id).currency
        return _operation(credit.id, credit.amount_minor, currency, credit.at)
    row = _debit(desk, session, card, transaction)
    return _operation(row.id, row.asked_minor, row.currency, row.made_at)


def _operation(oid: str, amount_minor: int, currency: str, at: datetime) -> dict[str, Any]:
    return {"oid": oid, "value": number_of(amount_minor, currency), "date": moment_of(at)}


# --- settlements and cancellations --------------------------------------------------------------------------


@router.post("/giftcards/{card}/transactions/{transaction}/settlements")
def settle(
    card: str, transaction: str, body: PartRequest, request: Request, session: Vtex, desk: Desk_
) -> JSONResponse:
    """The first settlement makes the payment final; what is not settled comes back by a cancellation."""
    session.check("redeem")
    location = session.location(None)
    row = _debit(desk, session, card, transaction)
    amount = minor_of(body.value, row.currency)
    key = f"vtex-s:{row.id}:{body.requestId}"

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        now = _settled(desk, row, caller(location, row.reference))
        told = [Decimal(str(one["value"])) for one in _settlements(desk, session, row)]
        before = sum(minor_of(value, row.currency) for value in told)
        if before + amount > now.amount_minor:
            raise ApiProblem("over_amount", "Less than that is left of this transaction to settle.")
        return Outcome(200, _operation(_oid(desk, key), amount, row.currency, desk.hands.link().clock()))

    return once(desk, session, request, key, Asked(what="settle", value=f"{body.value:f}"), work)


def _settled(desk: Desk, row: RedemptionRow, caller: Caller) -> RedemptionRow:
    """The transaction once it is captured, by this request or an earlier one. Raises ApiProblem."""
    now = find_redemption(desk.engine, row.id) or row
    if now.state is RedemptionState.COMPLETED:
        return now
    try:
        return guarded(lambda: desk.redemptions.capture(now, None, caller))
    except ApiProblem as problem:
        now = find_redemption(desk.engine, row.id) or row
        if problem.code == "not_authorized" and now.state is RedemptionState.COMPLETED:
            return now
        raise


@router.get("/giftcards/{card}/transactions/{transaction}/settlements")
def settlements(card: str, transaction: str, session: Vtex, desk: Desk_) -> list[dict[str, Any]]:
    session.check("validate")
    if _credit(desk, session, card, transaction) is not None:
        return []
    return _settlements(desk, session, _debit(desk, session, card, transaction))


def _settlements(desk: Desk, session: Session, row: RedemptionRow) -> list[dict[str, Any]]:
    kept = desk.requests.answers_under(session.token.id, f"vtex-s:{row.id}:")
    return [dict(answer.body) for answer in kept if answer.status == 200]


@router.post("/giftcards/{card}/transactions/{transaction}/cancellations")
def cancel(
    card: str, transaction: str, body: PartRequest, request: Request, session: Vtex, desk: Desk_
) -> JSONResponse:
    """Give back so much, settled or not."""
    session.check("reverse")
    location = session.location(None)
    if _credit(desk, session, card, transaction) is not None:
        raise ApiProblem("not_reversible", "A credit is not taken back; debit the card instead.")
    row = _debit(desk, session, card, transaction)
    amount = minor_of(body.value, row.currency)
    key = f"vtex-c:{row.id}:{body.requestId}"

    def work(caller: Callable[[str, str], Caller]) -> Outcome:
        guarded(lambda: desk.redemptions.reverse(row, amount, caller(location, row.reference)))
        return Outcome(200, _operation(_oid(desk, key), amount, row.currency, desk.hands.link().clock()))

    return once(desk, session, request, key, Asked(what="cancel", value=f"{body.value:f}"), work)


@router.get("/giftcards/{card}/transactions/{transaction}/cancellations")
def cancellations(card: str, transaction: str, session: Vtex, desk: Desk_) -> list[dict[str, Any]]:
    session.check("validate")
    if _credit(desk, session, card, transaction) is not None:
        return []
    row = _debit(desk, session, card, transaction)
    return [
        _operation(e.id, e.amount_minor, row.currency, e.at)
        for e in entries_of(desk.engine, row.card_id)
        if e.redemption_id == row.id and e.kind in _BACK
    ]


def _oid(desk: Desk, key: str) -> str:
    """The same for the same request."""
    return desk.hands.link().store.vault.outer_id(key, "vtex operation")[:32]
