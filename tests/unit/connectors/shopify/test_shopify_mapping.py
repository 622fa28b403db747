"""Shopify's cards in the hub's words."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.api.card import CardRef
from connectors.api.effect import Effect, EffectKind
from connectors.api.errors import InDoubt, Refusal, Refused
from connectors.shopify.mapping import (
    NOTE_LENGTH_MAX,
    SUSPENDED_ON,
    create_input,
    entry_marker_of,
    entry_of,
    expiry_for,
    is_card_id,
    marker_of,
    seen_of,
    status_of,
)
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError
from mappings.serials import Serial

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERIAL = Serial("CAFE0123456789AB")


def card(**changes: Any) -> dict[str, Any]:
    return {
        "__typename": "GiftCard",
        "id": "gid://shopify/GiftCard/663920574770",
        "balance": {"amount": "41.01", "currencyCode": "NOK"},
        "enabled": True,
        "expiresOn": None,
        "lastCharacters": "2B5a",
        "note": None,
        **changes,
    }


def create(**changes: Any) -> Effect:
    values: dict[str, Any] = {"amount_minor": 250_00, "note": "bought in the store", **changes}
    card_ref = values.pop("card", CardRef(serial=SERIAL))
    return Effect("gs-abc1", EffectKind.CREATE, card_ref, "NOK", **values)


def test_an_active_card() -> None:
    seen = seen_of(card(note="gs-abc1 from the till", expiresOn="2031-05-17"), AT)

    assert (seen.balance_minor, seen.currency, seen.status) == (41_01, "NOK", CardStatus.ACTIVE)
    assert (seen.expires_on, seen.last_chars, seen.created_by) == (date(2031, 5, 17), "2b5a", "gs-abc1")
    assert seen.serial is None


@pytest.mark.parametrize(
    ("enabled", "expires_on", "status"),
    [
        (True, None, CardStatus.ACTIVE),
        (True, date(2020, 1, 1), CardStatus.ACTIVE),
        (True, SUSPENDED_ON, CardStatus.SUSPENDED),
        (False, None, CardStatus.CLOSED),
        (False, SUSPENDED_ON, CardStatus.CLOSED),
    ],
)
def test_statuses(enabled: bool, expires_on: date | None, status: CardStatus) -> None:
    assert status_of(enabled, expires_on) is status


@given(st.sampled_from([CardStatus.ACTIVE, CardStatus.SUSPENDED]), st.none() | st.dates(date(2001, 1, 1)))
def test_a_status_survives_the_round_trip(status: CardStatus, expires_on: date | None) -> None:
    assert status_of(True, expiry_for(status, expires_on)) is status


def test_a_suspended_cards_own_expiry_is_unknown() -> None:
    seen = seen_of(card(expiresOn="2000-01-01"), AT)

    assert (seen.status, seen.expires_on) == (CardStatus.SUSPENDED, None)


@pytest.mark.parametrize(
    "broken",
    [
        {"balance": None},
        {"balance": {"amount": None, "currencyCode": "NOK"}},
        {"balance": {"amount": "nothing", "currencyCode": "NOK"}},
        {"balance": {"amount": "1.001", "currencyCode": "NOK"}},
        {"balance": {"amount": "-1.0", "currencyCode": "NOK"}},
        {"balance": {"amount": "1.0", "currencyCode": "kroner"}},
        {"balance": {"amount": 1.0, "currencyCode": "NOK"}},
        {"enabled": None},
        {"expiresOn": "soon"},
        {"expiresOn": "1970-01-01"},
        {"expiresOn": "20000101"},
        {"expiresOn": "2000-W01-1"},
        {"expiresOn": "2031-05-17T00:00:00Z"},
        {"lastCharacters": None},
    ],
)
def test_what_cannot_be_believed_is_never_a_card(broken: dict[str, Any]) -> None:
    with pytest.raises((InDoubt, MoneyError)):
        seen_of(card(**broken), AT)


@pytest.mark.parametrize(
    ("note", "on_card", "on_entry"),
    [
        (None, None, None),
        ("", None, None),
        ("gs-abc1", "gs-abc1", "gs-abc1"),
        (" gs-abc1 ", None, "gs-abc1"),
        ("gs-abc1 from the till", "gs-abc1", None),
        ("gs-ABC1", None, None),
        ("gs-abc1-2", None, None),
        ("undo gs-abc1", None, None),
    ],
)
def test_markers(note: str | None, on_card: str | None, on_entry: str | None) -> None:
    assert marker_of(note) == on_card
    assert entry_marker_of(note) == on_entry


def test_a_debit_entry_is_negative() -> None:
    entry = entry_of(
        {
            "__typename": "GiftCardDebitTransaction",
            "id": "gid://shopify/GiftCardDebitTransaction/247048503602",
            "amount": {"amount": "-3.0", "currencyCode": "NOK"},
            "note": "gs-abc1",
            "processedAt": "2026-11-23T11:59:59Z",
        }
    )

    assert (entry.amount_minor, entry.marker, entry.label) == (-3_00, "gs-abc1", "GiftCardDebitTransaction")
    assert entry.at == datetime(2026, 11, 23, 11, 59, 59, tzinfo=UTC)


def test_the_create_input() -> None:
    effect = create(expires_on=date(2031, 5, 17), brand="gift_card.birthday")

    assert create_input(effect, "2026-10") == {
        "code": "cafe0123456789ab",
        "initialAmount": {"amount": "250.00", "currencyCode": "NOK"},
        "note": "gs-abc1 bought in the store",
        "expiresOn": "2031-05-17",
        "templateSuffix": "birthday",
    }


def test_the_create_input_of_an_older_version() -> None:
    made = create_input(create(), "2026-04")

    assert made["initialValue"] == "250.00"
    assert "initialAmount" not in made


def test_a_long_note_keeps_its_marker() -> None:
    note = create_input(create(note="x" * 5_000), "2026-10")["note"]

    assert isinstance(note, str)
    assert len(note) == NOTE_LENGTH_MAX
    assert marker_of(note) == "gs-abc1"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"card": CardRef()}, Refusal.MISSING_DETAIL), ({"amount_minor": 0}, Refusal.OTHER)],
)
def test_a_create_that_shopify_cannot_carry_out(changes: dict[str, Any], reason: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        create_input(create(**changes), "2026-10")

    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("gid://shopify/GiftCard/1", True),
        ("gid://shopify/GiftCard/", False),
        ("gid://shopify/GiftCard/1x", False),
        ("gid://shopify/Order/1", False),
        ("1", False),
    ],
)
def test_card_ids(text: str, good: bool) -> None:
    assert is_card_id(text) is good
