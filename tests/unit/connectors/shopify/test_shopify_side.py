"""The connector over a scripted wire: what is sent, and what each answer leads to."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
import requests
import responses

from connectors.api.card import Absent, CardRef, Seen, Unreadable
from connectors.api.effect import CannotTell, Effect, EffectKind, Found, NotFound, no_save
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refusal,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from connectors.shopify import ShopifySide
from connectors.shopify.reads import ENTRY_PAGES_MAX, POINTS_TO_DOUBLE
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from tests.support import TRANSPORT

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SHOP = "kaffe.myshopify.com"
URL = f"https://{SHOP}/admin/api/2026-10/graphql.json"
TOKEN = "shpat_not_a_real_one"
ID = "gid://shopify/GiftCard/663920574770"
OTHER_ID = "gid://shopify/GiftCard/663920574771"
SERIAL = Serial("cafe012345672b5a")
MARKER = "gs-abc1"

Body = dict[str, Any]


class Wire:
    """Answers requests from a list, in order, and keeps what was sent."""

    def __init__(self) -> None:
        self.answers: list[Body | tuple[int, str] | Exception] = []
        self.sent: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.pauses: list[float] = []
        self.version = "2026-10"

    def __call__(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        self.sent.append(json.loads(request.body or b"{}"))
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, tuple):
            return answer[0], {}, answer[1]
        return 200, {"X-Shopify-API-Version": self.version}, json.dumps(answer)

    @property
    def names(self) -> list[str]:
        return [str(body["operationName"]).removeprefix("Giftsync") for body in self.sent]


@pytest.fixture
def wire() -> Iterator[Wire]:
    script = Wire()
    with responses.RequestsMock(assert_all_requests_are_fired=False, target=TRANSPORT) as mock:
        mock.add_callback(responses.POST, URL, callback=script)
        yield script


@pytest.fixture
def side(wire: Wire) -> Iterator[ShopifySide]:
    shop = ShopifySide(
        shop=SHOP, token=TOKEN, pause=wire.pauses.append, clock=lambda: AT, monotonic=lambda: 0.0
    )
    yield shop
    shop.close()


def data(**fields: Any) -> Body:
    cost = {
        "requestedQueryCost": 10,
        "actualQueryCost": 4,
        "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 1900, "restoreRate": 100},
    }
    return {"data": fields, "extensions": {"cost": cost}}


def failed(code: str, **more: Any) -> Body:
    return {"errors": [{"message": "said", "extensions": {"code": code, **more}}]}


def card(**changes: Any) -> Body:
    return {
        "__typename": "GiftCard",
        "id": ID,
        "balance": {"amount": "100.0", "currencyCode": "NOK"},
        "enabled": True,
        "expiresOn": None,
        "lastCharacters": "2b5a",
        "note": None,
        **changes,
    }


def page(*nodes: Body, after: str | None = None) -> Body:
    return {"nodes": list(nodes), "pageInfo": {"hasNextPage": after is not None, "endCursor": after}}


def entry(note: str | None, amount: str = "-30.0", number: int = 1) -> Body:
    return {
        "__typename": "GiftCardDebitTransaction",
        "id": f"gid://shopify/GiftCardDebitTransaction/{number}",
        "amount": {"amount": amount, "currencyCode": "NOK"},
        "note": note,
        "processedAt": "2026-11-23T11:59:59Z",
    }


def debited(amount: str = "-30.0", note: str | None = MARKER, card_id: str = ID) -> Body:
    moved = {
        "id": "gid://shopify/GiftCardDebitTransaction/9",
        "amount": {"amount": amount, "currencyCode": "NOK"},
        "note": note,
        "giftCard": {"id": card_id, "balance": {"amount": "70.0", "currencyCode": "NOK"}},
    }
    return data(giftCardDebit={"giftCardDebitTransaction": moved, "userErrors": []})


def refused(root: str, code: str | None, message: str = "said", field: list[str] | None = None) -> Body:
    return data(**{root: {"userErrors": [{"field": field, "code": code, "message": message}]}})


def effect(kind: EffectKind, **changes: Any) -> Effect:
    return Effect(MARKER, kind, CardRef(ID), "NOK", **changes)


DEBIT = effect(EffectKind.DEBIT, amount_minor=30_00)
CREATE = replace(effect(EffectKind.CREATE, amount_minor=250_00), card=CardRef(serial=SERIAL))


# What is sent.


def test_a_request_carries_token_version_and_operation(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [debited()]

    applied = side.apply(DEBIT, no_save)

    assert (applied.native_id, applied.balance_minor) == (ID, 70_00)
    assert applied.reference == "gid://shopify/GiftCardDebitTransaction/9"
    assert wire.headers[0]["X-Shopify-Access-Token"] == TOKEN
    assert wire.sent[0]["variables"] == {
        "id": ID,
        "input": {"debitAmount": {"amount": "30.00", "currencyCode": "NOK"}, "note": MARKER},
    }
    assert side.usage().calls == 1
    assert side.usage().points == 4


def test_a_token_that_was_renewed_is_used_at_once(wire: Wire) -> None:
    tokens = iter(["first", "second"])
    side = ShopifySide(shop=SHOP, token=lambda: next(tokens), pause=wire.pauses.append)
    wire.answers = [debited(), debited()]

    side.apply(DEBIT, no_save)
    side.apply(DEBIT, no_save)

    assert [headers["X-Shopify-Access-Token"] for headers in wire.headers] == ["first", "second"]
    side.close()


def test_no_repr_holds_the_token(side: ShopifySide) -> None:
    assert TOKEN not in repr(side) + repr(vars(side)) + repr(vars(side._client))


@pytest.mark.parametrize(
    "changes",
    [
        {"shop": "kaffe.example.com"},
        {"shop": "kaffe"},
        {"base_url": "http://kaffe.example.com"},
        {"base_url": "http://127.0.0.1.example.com"},
        {"version": "2025-01"},
    ],
)
def test_a_side_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ShopifySide(**{"shop": SHOP, "token": TOKEN, "pause": lambda _: None, **changes})


# Writes are sent exactly once.


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((500, "broken"), InDoubt),
        ((502, ""), InDoubt),
        ((200, "<html>"), InDoubt),
        ((200, "[]"), InDoubt),
        ((200, "{}"), InDoubt),
        ((429, ""), Throttled),
        ((430, ""), Throttled),
        ((401, ""), SideClosed),
        ((402, ""), SideClosed),
        ((403, ""), SideClosed),
        ((404, ""), SideClosed),
        ((423, ""), SideClosed),
        (failed("THROTTLED"), Throttled),
        (failed("INTERNAL_SERVER_ERROR"), InDoubt),
        (failed("undefinedField"), SideClosed),
        (failed("ACCESS_DENIED"), SideClosed),
        (data(giftCardDebit=None), InDoubt),
        (data(giftCardDebit={}), InDoubt),
        (data(giftCardDebit={"giftCardDebitTransaction": None, "userErrors": []}), InDoubt),
        (debited(amount="-3.0"), InDoubt),
        (debited(amount="30.0"), InDoubt),
        (debited(note=None), InDoubt),
        (refused("giftCardDebit", "INTERNAL_ERROR"), InDoubt),
        (refused("giftCardDebit", "INSUFFICIENT_FUNDS"), Refused),
        (requests.ReadTimeout(), InDoubt),
        (requests.ConnectionError(), InDoubt),
        (requests.ConnectTimeout(), NotSent),
        # A broken TLS connection may break after the request was read.
        (requests.exceptions.SSLError("bad record mac"), InDoubt),
        (requests.exceptions.SSLError(ssl.SSLCertVerificationError()), NotSent),
    ],
)
def test_a_debit_is_sent_once_whatever_is_answered(
    side: ShopifySide, wire: Wire, answer: Any, expected: type[SideError]
) -> None:
    wire.answers = [answer]

    with pytest.raises(expected):
        side.apply(DEBIT, no_save)

    assert wire.names == ["DebitCard"]
    assert wire.pauses == []


def test_a_user_error_beside_a_transaction_is_in_doubt(side: ShopifySide, wire: Wire) -> None:
    answer = debited()
    answer["data"]["giftCardDebit"]["userErrors"] = [{"field": None, "code": "INVALID", "message": "said"}]
    wire.answers = [answer]

    with pytest.raises(InDoubt):
        side.apply(DEBIT, no_save)


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (card(expiresOn="2020-01-01"), Refusal.EXPIRED),
        (card(expiresOn="2000-01-01"), Refusal.NOT_ACTIVE),
        (card(enabled=False), Refusal.NOT_ACTIVE),
    ],
)
def test_the_card_tells_expired_from_deactivated(
    side: ShopifySide, wire: Wire, shown: Body, reason: Refusal
) -> None:
    wire.answers = [refused("giftCardDebit", "INVALID", field=["id"]), data(nodes=[shown])]

    with pytest.raises(Refused) as caught:
        side.apply(DEBIT, no_save)

    assert caught.value.reason is reason


def test_a_refusal_stays_one_when_its_reason_cannot_be_read(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [refused("giftCardDebit", "INVALID", field=["id"]), *[(500, "")] * 4]

    with pytest.raises(Refused):
        side.apply(DEBIT, no_save)


def test_nothing_is_sent_for_an_amount_that_is_not_positive(side: ShopifySide, wire: Wire) -> None:
    with pytest.raises(Refused):
        side.apply(replace(DEBIT, amount_minor=0), no_save)

    assert wire.sent == []


# Reads are repeated.


def test_a_read_is_repeated_until_it_can_be_believed(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [(503, ""), failed("THROTTLED"), requests.ConnectionError(), data(nodes=[card()])]

    (seen,) = side.observe([CardRef(ID)])

    assert isinstance(seen, Seen)
    assert len(wire.sent) == 4
    assert len(wire.pauses) == 3
    assert side.usage().throttled == 1


def test_a_read_gives_up(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [(503, "")] * 4

    with pytest.raises(InDoubt):
        list(side.observe([CardRef(ID)]))


def test_observations_keep_the_order_and_every_doubt(side: ShopifySide, wire: Wire) -> None:
    broken = card(id=OTHER_ID, balance={"amount": "lots", "currencyCode": "NOK"})
    wire.answers = [data(nodes=[card(), broken])]

    observed = list(
        side.observe([CardRef(OTHER_ID), CardRef("gid://shopify/Order/1"), CardRef(ID), CardRef()])
    )

    assert [type(observation) for observation in observed] == [Unreadable, Unreadable, Seen, Unreadable]
    assert wire.sent[0]["variables"]["ids"] == [ID, OTHER_ID]


def test_null_is_absent(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [data(nodes=[None])]

    assert list(side.observe([CardRef(ID)])) == [Absent(AT)]


def test_another_card_than_asked_for_is_not_believed(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [data(nodes=[card(id=OTHER_ID)])]

    (observation,) = side.observe([CardRef(ID)])

    assert isinstance(observation, Unreadable)


def test_entries_are_read_to_the_end(side: ShopifySide, wire: Wire) -> None:
    first = card(transactions=page(entry("gs-one", number=1), after="more"))
    last = card(balance={"amount": "40.0", "currencyCode": "NOK"}, transactions=page(entry(None, number=2)))
    wire.answers = [data(nodes=[first]), data(giftCard=last)]

    (seen,) = side.observe([CardRef(ID)], entries=True)

    assert isinstance(seen, Seen)
    assert seen.entries is not None
    assert [item.marker for item in seen.entries] == ["gs-one", None]
    # The balance of the last page: a debit may have come between the two.
    assert seen.balance_minor == 40_00
    assert wire.sent[1]["variables"]["after"] == "more"


def test_a_card_with_endless_entries_is_unreadable(side: ShopifySide, wire: Wire) -> None:
    endless = card(transactions=page(entry(None), after="more"))
    wire.answers = [data(nodes=[endless]), *[data(giftCard=endless)] * ENTRY_PAGES_MAX]

    (observation,) = side.observe([CardRef(ID)], entries=True)

    assert isinstance(observation, Unreadable)


# Looking up.


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (page(), Absent),
        (page(card()), Seen),
        (page(card(lastCharacters="2B5A")), Seen),
        (page(card(lastCharacters="7369")), Absent),
        (page(card(), card()), Seen),
        (page(card(), card(id=OTHER_ID)), Unreadable),
        (page(card(), card(id=OTHER_ID, lastCharacters="7369")), Seen),
        (page(card(), after="more"), Unreadable),
    ],
)
def test_a_lookup_needs_exactly_one_card(
    side: ShopifySide, wire: Wire, found: Body, expected: type[object]
) -> None:
    # One that shows more than the few rows asked for is asked for more.
    wire.answers = [data(giftCards=found)] * 2

    observation = side.lookup(SERIAL)

    assert type(observation) is expected
    assert wire.sent[0]["variables"]["query"] == SERIAL.reveal()
    if isinstance(observation, Seen):
        assert observation.serial == SERIAL


@pytest.mark.parametrize("text", ["2b5a", "x12b5a7", "x" * 21])
def test_what_is_no_whole_code_is_never_searched(side: ShopifySide, wire: Wire, text: str) -> None:
    assert side.lookup(Serial(text)) == Absent(AT)
    assert wire.sent == []


# Creates.


def taken() -> Body:
    return refused("giftCardCreate", None, "Code has already been taken", ["input", "code"])


def test_a_create_that_is_taken_by_our_own_earlier_attempt(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [taken(), data(giftCards=page(card(note=f"{MARKER} from the till")))]

    assert side.apply(CREATE, no_save).native_id == ID


def test_a_create_that_is_taken_by_another_card(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [taken(), data(giftCards=page(card(note="gs-other")))]

    with pytest.raises(Refused) as caught:
        side.apply(CREATE, no_save)

    assert (caught.value.reason, caught.value.native_id) == (Refusal.TAKEN, ID)


def test_a_create_that_is_taken_while_the_search_lags(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [taken(), data(giftCards=page())]

    with pytest.raises(InDoubt):
        side.apply(CREATE, no_save)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (page(), NotFound()),
        (page(card(note=f"{MARKER} from the till")), Found(1, ID)),
        (page(card(note="gs-other")), NotFound()),
        (page(card(note=f"{MARKER}2")), NotFound()),
    ],
)
def test_finding_a_create(side: ShopifySide, wire: Wire, found: Body, expected: object) -> None:
    wire.answers = [data(giftCards=found)]

    assert side.find(CREATE) == expected


def test_no_error_of_a_create_shows_the_serial(side: ShopifySide, wire: Wire) -> None:
    secret = SERIAL.reveal()
    for answer in (200, f"<html>{secret}"), (500, secret), requests.ConnectionError(secret):
        wire.answers = [answer]
        with pytest.raises(SideError) as caught:
            side.apply(CREATE, no_save)
        assert secret not in repr(caught.value) + str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


# Finding moves.


def test_a_transaction_that_is_listed_twice_has_landed_once(side: ShopifySide, wire: Wire) -> None:
    # Else the second would be undone, and the card worth more than was ever put on it.
    first, last = page(entry(MARKER), after="more"), page(entry(MARKER), entry(None, number=2))
    wire.answers = [data(giftCard=card(transactions=first)), data(giftCard=card(transactions=last))]

    assert side.find(DEBIT) == Found(1, ID, "gid://shopify/GiftCardDebitTransaction/1")


def test_a_transaction_that_is_told_in_two_ways_proves_nothing(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [data(giftCard=card(transactions=page(entry(MARKER), entry(MARKER, "-3.0"))))]

    assert isinstance(side.find(DEBIT), CannotTell)


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        (DEBIT, debited(card_id=OTHER_ID)),
        (
            CREATE,
            data(
                giftCardCreate={"giftCard": {"id": "gid://shopify/Order/1", "note": None}, "userErrors": []}
            ),
        ),
        (
            effect(EffectKind.SET_STATUS, status=CardStatus.CLOSED),
            data(giftCardDeactivate={"giftCard": {"id": OTHER_ID, "enabled": False}, "userErrors": []}),
        ),
    ],
)
def test_a_change_that_is_confirmed_of_something_else_is_in_doubt(
    side: ShopifySide, wire: Wire, wanted: Effect, answer: Body
) -> None:
    wire.answers = [answer]

    with pytest.raises(InDoubt):
        side.apply(wanted, no_save)

    assert len(wire.sent) == 1


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ([], NotFound()),
        ([None, "gs-other", f"{MARKER}2", f"not {MARKER}"], NotFound()),
        (["gs-other", MARKER], Found(1, ID, "gid://shopify/GiftCardDebitTransaction/1")),
        ([MARKER, MARKER], Found(2, ID, "gid://shopify/GiftCardDebitTransaction/0")),
    ],
)
def test_a_move_is_found_by_its_whole_note(
    side: ShopifySide, wire: Wire, notes: list[str | None], expected: object
) -> None:
    rows = [entry(note, number=number) for number, note in enumerate(notes)]
    wire.answers = [data(giftCard=card(transactions=page(*rows)))]

    assert side.find(DEBIT) == expected


def test_without_the_scope_nobody_can_tell(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [failed("ACCESS_DENIED", requiredAccess="`read_gift_card_transactions` access scope.")]

    assert isinstance(side.find(DEBIT), CannotTell)


def test_a_closed_side_says_nothing_about_the_move(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [(401, "")]

    with pytest.raises(SideClosed):
        side.find(DEBIT)


@pytest.mark.parametrize("transactions", [None, page({**entry(MARKER), "amount": None})])
def test_entries_that_cannot_be_read_prove_nothing(
    side: ShopifySide, wire: Wire, transactions: Body | None
) -> None:
    wire.answers = [data(giftCard=card(transactions=transactions))]

    assert isinstance(side.find(DEBIT), CannotTell)


# Status and expiry.


def updated() -> Body:
    return data(giftCardUpdate={"giftCard": {"id": ID, "expiresOn": None}, "userErrors": []})


@pytest.mark.parametrize(
    ("status", "expires_on", "sent"),
    [
        (CardStatus.SUSPENDED, date(2031, 5, 17), "2000-01-01"),
        (CardStatus.ACTIVE, date(2031, 5, 17), "2031-05-17"),
        (CardStatus.ACTIVE, None, None),
    ],
)
def test_a_suspension_is_an_expiry_date(
    side: ShopifySide, wire: Wire, status: CardStatus, expires_on: date | None, sent: str | None
) -> None:
    wire.answers = [updated()]

    side.apply(effect(EffectKind.SET_STATUS, status=status, expires_on=expires_on), no_save)

    # The key is there even when it is null: leaving it out would keep the date.
    assert wire.sent[0]["variables"]["input"] == {"expiresOn": sent}


def test_closing_deactivates(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [data(giftCardDeactivate={"giftCard": {"id": ID, "enabled": False}, "userErrors": []})]

    side.apply(effect(EffectKind.SET_STATUS, status=CardStatus.CLOSED), no_save)

    assert wire.names == ["DeactivateCard"]


def test_a_new_expiry_does_not_lift_a_suspension(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [data(nodes=[card(expiresOn="2000-01-01")])]

    with pytest.raises(Refused) as caught:
        side.apply(effect(EffectKind.SET_EXPIRY, expires_on=date(2031, 5, 17)), no_save)

    assert caught.value.reason is Refusal.NOT_ACTIVE
    assert wire.names == ["ReadCards"]


@pytest.mark.parametrize(
    ("shown", "status", "expires_on", "found"),
    [
        (card(enabled=False), CardStatus.CLOSED, None, True),
        (card(), CardStatus.CLOSED, None, False),
        (card(expiresOn="2000-01-01"), CardStatus.SUSPENDED, None, True),
        (card(expiresOn="2031-05-17"), CardStatus.ACTIVE, date(2031, 5, 17), True),
        (card(expiresOn="2031-05-17"), CardStatus.ACTIVE, None, False),
        (None, CardStatus.ACTIVE, None, False),
    ],
)
def test_a_status_is_found_by_reading_it_back(
    side: ShopifySide,
    wire: Wire,
    shown: Body | None,
    status: CardStatus,
    expires_on: date | None,
    found: bool,
) -> None:
    wire.answers = [data(nodes=[shown])]

    result = side.find(effect(EffectKind.SET_STATUS, status=status, expires_on=expires_on))

    assert result == (Found(1, ID) if found else NotFound())


# Notifications.


def notified(root: str, message: str | None = None) -> Body:
    errors = [{"field": None, "code": "INVALID", "message": message}] if message else []
    return data(**{root: {"giftCard": None if message else {"id": ID}, "userErrors": errors}})


TO_RECIPIENT = "giftCardSendNotificationToRecipient"
TO_CUSTOMER = "giftCardSendNotificationToCustomer"


def test_the_recipient_is_notified_first(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [notified(TO_RECIPIENT)]

    side.apply(effect(EffectKind.NOTIFY), no_save)

    assert wire.names == ["NotifyRecipient"]


def test_the_customer_is_notified_when_there_is_no_recipient(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [notified(TO_RECIPIENT, "The gift card has no recipient."), notified(TO_CUSTOMER)]

    side.apply(effect(EffectKind.NOTIFY), no_save)

    assert wire.names == ["NotifyRecipient", "NotifyCustomer"]


def test_a_recipient_without_contact_is_not_replaced_by_the_customer(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [notified(TO_RECIPIENT, "The recipient has no contact information")]

    with pytest.raises(Refused) as caught:
        side.apply(effect(EffectKind.NOTIFY), no_save)

    assert caught.value.reason is Refusal.MISSING_DETAIL
    assert isinstance(side.find(effect(EffectKind.NOTIFY)), CannotTell)


# Who the shop says it is.


def identity(
    domain: str = SHOP,
    gift_cards: bool = True,
    scopes: tuple[str, ...] = ("write_gift_cards", "write_gift_card_transactions", "read_orders"),
) -> Body:
    shop = {
        "myshopifyDomain": domain,
        "currencyCode": "NOK",
        "ianaTimezone": "Europe/Oslo",
        "features": {"giftCards": gift_cards},
        "plan": {"publicDisplayName": "Basic"},
    }
    return data(shop=shop, currentAppInstallation={"accessScopes": [{"handle": handle} for handle in scopes]})


def test_identity(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [identity()]

    found = side.identify()

    assert (found.identity, found.currency, found.timezone) == (SHOP, "NOK", "Europe/Oslo")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (identity(domain="te.myshopify.com"), "te.myshopify.com"),
        (identity(gift_cards=False), "Basic"),
        (identity(scopes=("write_gift_cards", "read_orders")), "write_gift_card_transactions"),
        (identity(scopes=("read_gift_cards", "write_gift_card_transactions", "write_orders")), "gift_cards"),
    ],
)
def test_a_shop_that_cannot_be_used(side: ShopifySide, wire: Wire, answer: Body, words: str) -> None:
    wire.answers = [answer]

    with pytest.raises(SideClosed, match=words) as caught:
        side.identify()

    assert caught.value.remedy


def test_a_write_scope_includes_its_read_scope(side: ShopifySide, wire: Wire) -> None:
    wire.answers = [identity(scopes=("write_gift_cards", "write_gift_card_transactions", "write_orders"))]

    assert side.identify().identity == SHOP


def test_a_version_that_was_retired_is_noticed(side: ShopifySide, wire: Wire) -> None:
    wire.version = "2027-01"
    wire.answers = [identity()]

    with pytest.raises(SideClosed, match="2027-01"):
        side.identify()


# Pace.


def test_no_request_is_sent_that_the_bucket_cannot_pay(side: ShopifySide, wire: Wire) -> None:
    empty = debited()
    empty["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] = 0
    wire.answers = [empty, debited()]

    side.apply(DEBIT, no_save)
    assert wire.pauses == []
    side.apply(DEBIT, no_save)

    # The last debit was charged ten points, and the bucket refills a hundred each second.
    assert wire.pauses == [pytest.approx(0.1)]


# Reading entries of many cards.


@pytest.mark.parametrize(
    ("points", "together"),
    [
        # Shopify counts the list once, however many ids there are.
        (7, [20, 40, 80, 160, 250, 10]),
        # So many points that twice as many cards may cost too much.
        (POINTS_TO_DOUBLE + 1, [20] * 28),
        (None, [20] * 28),
    ],
)
def test_more_cards_are_read_together_once_shopify_says_that_they_cost_little(
    side: ShopifySide, wire: Wire, points: int | None, together: list[int]
) -> None:
    numbers = range(663920570000, 663920570000 + 560)
    ids = [f"gid://shopify/GiftCard/{number}" for number in numbers]
    rest = ids
    for size in together:
        answer = data(nodes=[card(id=one, transactions=page()) for one in rest[:size]])
        if points is None:
            del answer["extensions"]
        else:
            answer["extensions"]["cost"]["requestedQueryCost"] = points
        wire.answers.append(answer)
        rest = rest[size:]

    seen = list(side.observe([CardRef(one) for one in ids], entries=True))

    assert [one.native_id for one in seen if isinstance(one, Seen)] == ids
    assert [len(sent["variables"]["ids"]) for sent in wire.sent] == together
