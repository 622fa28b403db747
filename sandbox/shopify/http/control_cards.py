"""Cards as the control plane wants them: made or changed as told, shown wrongly, or gone."""

from __future__ import annotations

import re

from sandbox.control_values import ControlError, Json, day, flag, number_in, only, signed_minor, text
from sandbox.control_values import currency as read_currency
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.shop.gift_cards import CODE_LENGTH_MAX, CODE_LENGTH_MIN, normalise_code
from sandbox.shopify.shop.model import CardSource, CardStatus, GiftCard, MovementKind, ShownCard
from sandbox.shopify.shop.money import minor_digits, plain
from sandbox.shopify.shop.state import ShopState

_CODE = re.compile(rf"[a-z0-9]{{{CODE_LENGTH_MIN},{CODE_LENGTH_MAX}}}", re.ASCII)
_STATUSES = (str(CardStatus.ENABLED), str(CardStatus.DISABLED))


async def card(state: ShopState, body: Json) -> Json:
    """`{"code" or "id", "balance"?, "status"?, "expires"?, …}`: make or change a card as told.

    Further keys: "currency", "note", "template_suffix". A card of a new code needs a balance. Nothing is
    checked against limits, and no order is made; a change of the balance is a transaction without a note.
    A currency is changed to one with as many decimals only.
    """
    only(body, "code", "id", "balance", "status", "expires", "currency", "note", "template_suffix")
    found = _find(state, body)
    code = _new_code(body) if found is None else found.code
    currency = read_currency(body) if "currency" in body else found.currency if found else state.currency
    if found is not None and minor_digits(currency) != minor_digits(found.currency):
        raise ControlError(400, f"{currency} has other decimals than {found.currency}")
    balance = signed_minor(body, "balance", minor_digits(currency)) if "balance" in body else None
    expires = day(body, "expires")
    status = body.get("status", None if found else str(CardStatus.ENABLED))
    if status not in (None, *_STATUSES):
        raise ControlError(400, f"status must be one of {', '.join(_STATUSES)}")
    texts = {key: text(body, key) for key in ("note", "template_suffix") if body.get(key) is not None}
    if found is None:
        if balance is None:
            raise ControlError(400, "no such card; a new one needs a balance")
        found = _made(state, code, balance, currency)
        balance = None
    with state.cards.changing(found):
        found.currency = currency
        if "expires" in body:
            found.expires_on = expires
        if status is not None:
            found.deactivated_at = state.now() if status == CardStatus.DISABLED else None
        for key in ("note", "template_suffix"):
            if key in body:
                setattr(found, key, texts.get(key))
        found.updated_at = state.now()
    if balance is not None and balance != found.balance_minor:
        state.move_balance(found, MovementKind.ADJUSTMENT, balance - found.balance_minor)
    return {
        "id": found.id,
        "code": found.code,
        "balance": plain(found.balance_minor, found.currency),
        "status": str(state.status(found)),
    }


async def show(state: ShopState, body: Json) -> Json:
    """`{"code" or "id", "balance"?, "currency"?, "enabled"?, …}`: let the API answer other values for a card.

    One more key: "last_characters". Texts are sent as they are. With none the API answers the truth again.
    """
    only(body, "code", "id", "balance", "currency", "enabled", "last_characters")
    found = _known(state, body)
    shown = ShownCard(
        balance=text(body, "balance") if "balance" in body else None,
        currency=read_currency(body) if "currency" in body else None,
        enabled=flag(body, "enabled") if "enabled" in body else None,
        last_characters=text(body, "last_characters") if "last_characters" in body else None,
    )
    found.shown = None if shown == ShownCard() else shown
    return {"id": found.id}


async def delete(state: ShopState, body: Json) -> Json:
    """`{"code" or "id"}`: the card is gone, as if it had never been. The real shop deletes none."""
    only(body, "code", "id")
    found = _known(state, body)
    state.remove_card(found)
    return {"id": found.id}


async def lose(state: ShopState, body: Json) -> Json:
    """`{"code" or "id", "transactions"?}`: the card goes back to before its newest transactions, or one.

    As when the shop is put back from a backup. The real shop forgets none.
    """
    only(body, "code", "id", "transactions")
    found = _known(state, body)
    count = number_in(body, "transactions", 1, 1_000) if "transactions" in body else 1
    with state.cards.changing(found):
        for _ in range(min(int(count), len(found.movements or ()))):
            lost = (found.movements or []).pop()
            found.balance_minor -= lost.minor
            del state.movements[lost.number]
    return {"id": found.id, "balance": plain(found.balance_minor, found.currency)}


async def misread(state: ShopState, body: Json) -> Json:
    """`{"times"}`: the API takes amounts for so many times as much from now on; 1 ends it."""
    only(body, "times")
    state.takes_times = int(number_in(body, "times", 1, 1_000))
    return {"times": state.takes_times}


async def currency(state: ShopState, body: Json) -> Json:
    """`{"currency"}`: the shop trades in another currency from now on; cards keep theirs."""
    only(body, "currency")
    state.currency = read_currency(body)
    return {"currency": state.currency}


def _find(state: ShopState, body: Json) -> GiftCard | None:
    if ("code" in body) == ("id" in body):
        raise ControlError(400, "give a code or an id")
    if "code" in body:
        return state.codes.get(normalise_code(text(body, "code")))
    return state.cards.get(number_of(text(body, "id"), "GiftCard"))


def _known(state: ShopState, body: Json) -> GiftCard:
    found = _find(state, body)
    if found is None:
        raise ControlError(404, "no such card")
    return found


def _new_code(body: Json) -> str:
    if "id" in body:
        raise ControlError(404, "no such card")
    code = normalise_code(text(body, "code"))
    if not _CODE.fullmatch(code):
        raise ControlError(400, f"code must be {CODE_LENGTH_MIN} to {CODE_LENGTH_MAX} letters and digits")
    return code


def _made(state: ShopState, code: str, balance: int, currency: str) -> GiftCard:
    now = state.now()
    made = GiftCard(
        number=state.sequence.next(),
        code=code,
        currency=currency,
        initial_minor=balance,
        balance_minor=balance,
        created_at=now,
        updated_at=now,
        source=CardSource.MANUAL,
    )
    state.add_card(made)
    return made
