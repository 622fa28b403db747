"""GET and PUT of gift cards, the only gift-card endpoints there are (flow.md §3)."""

from __future__ import annotations

from sandbox.flow.behaviour import (
    STATUS_ACTIVE,
    STATUS_CLEARED,
    STATUS_INACTIVE,
    CvcMode,
    Edition,
    NullValidTo,
    UnknownCard,
)
from sandbox.flow.call import Answer, Call
from sandbox.flow.cards import CardChange
from sandbox.flow.catalog import EXTENSION_CODES, Permission
from sandbox.flow.errors import Refusal, bad_request, conflict, not_found, unprocessable
from sandbox.flow.model import Card
from sandbox.flow.render import card_json
from sandbox.flow.values import Fields
from sandbox.flow.world import World

_PUT_KEYS_OLDER = frozenset({"validTo", "active", "note", "extensionCode"})
_PUT_KEYS_NEWER = _PUT_KEYS_OLDER | {"status"}


def get_giftcard(world: World, call: Call) -> Answer:
    call.require(Permission.GIFTCARD_READ)
    extension = call.query.get("extensionCode", "")
    if extension and extension not in EXTENSION_CODES:
        raise bad_request(f"extensionCode must be one of {', '.join(EXTENSION_CODES)}")
    card = world.card_in(world.store(call.ids["storeUid"]), call.ids["giftcardNumber"], extension)
    if card is None:
        if world.behaviour.unknown_card is UnknownCard.EMPTY_ANSWER:
            return Answer(200, {})
        raise not_found("giftcard")
    shows = _may_see_balance(world, card, call.query.get("cvc"))
    return Answer(200, card_json(card, world.cards, world.behaviour, world.now_ms(), show_balance=shows))


def _may_see_balance(world: World, card: Card, cvc: str | None) -> bool:
    # The older edition has no cvc parameter, so it cannot ask for one.
    if not card.needs_cvc or world.behaviour.edition is Edition.OLDER:
        return True
    if cvc == world.cards.cvc(card):
        return True
    if world.behaviour.cvc_mode is CvcMode.REFUSE:
        raise unprocessable("WRONG_CVC", "the CVC is missing or wrong")
    return False


def put_giftcard(world: World, call: Call) -> Answer:
    call.require(Permission.GIFTCARD_WRITE)
    older = world.behaviour.edition is Edition.OLDER
    fields = call.fields(_PUT_KEYS_OLDER if older else _PUT_KEYS_NEWER)
    extension = fields.choice("extensionCode", EXTENSION_CODES) if fields.has("extensionCode") else ""
    card = world.card_in(world.store(call.ids["storeUid"]), call.ids["giftcardNumber"], extension)
    change = _read_change(world, fields)
    if card is None:
        raise not_found("giftcard")
    _check_status_change(world, card, change.status)
    now_ms = world.now_ms()
    try:
        world.cards.change(card, change, now_ms)
    except Refusal as refusal:
        raise conflict(refusal.code, refusal.message) from None
    return Answer(200, card_json(card, world.cards, world.behaviour, now_ms))


def _read_change(world: World, fields: Fields) -> CardChange:
    """The keys of a PUT. What omitted keys and a null validTo mean is unknown (flow.md §3)."""
    stays = world.behaviour.put_omitted_keys_stay
    note = fields.text("note") if fields.has("note") else (None if stays else "")
    valid_to_ms: int | None = None
    clear = not stays and not fields.has("validTo")
    if fields.is_null("validTo"):
        if world.behaviour.null_valid_to is NullValidTo.REFUSED:
            raise bad_request("validTo must not be null")
        clear = world.behaviour.null_valid_to is NullValidTo.CLEARS
    elif fields.has("validTo"):
        valid_to_ms = fields.instant("validTo")
    return CardChange(_read_status(world, fields), note, valid_to_ms, clear)


def _read_status(world: World, fields: Fields) -> str | None:
    """`status`, or the deprecated `active` in its place."""
    status: str | None = None
    if fields.has("status"):
        status = fields.choice("status", world.behaviour.settable_statuses)
    if fields.has("active"):
        by_active = STATUS_ACTIVE if fields.flag("active") else STATUS_INACTIVE
        if status is not None and status != by_active:
            raise bad_request("active and status contradict each other")
        status = by_active
    return status


def _check_status_change(world: World, card: Card, status: str | None) -> None:
    if status is None or status == card.status or card.status == STATUS_CLEARED:
        return
    locked = (*world.behaviour.locked_statuses, world.behaviour.unseen_status)
    if card.status in locked:
        raise conflict("STATUS_LOCKED", f"a card that is {card.status} is changed by Flow only")
