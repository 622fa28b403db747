"""Flow's words and the hub's, both ways; each case is one line of flow.md or one of its gaps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.flow.mapping import (
    SettlementFate,
    card_status,
    expiry_date,
    expiry_instant,
    instant_text,
    marker_in,
    marker_of_order,
    minor_from_x100,
    note_with_marker,
    order_number,
    settlement_fate,
    status_change,
    x100_from_minor,
)
from connectors.flow.model import loose_text
from connectors.flow.settings import FlowSettings, SettlementWords
from mappings.lifecycle import CardStatus
from mappings.money import MoneyError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(days=1)
OSLO = ZoneInfo("Europe/Oslo")
ZONES = [
    "Europe/Oslo",
    "UTC",
    "America/New_York",
    "Pacific/Auckland",
    "Asia/Kathmandu",
    # The clock is set forward over midnight, and back over it.
    "America/Santiago",
    "Africa/Cairo",
    "America/Havana",
]


# Amounts.


@pytest.mark.parametrize(
    ("x100", "currency", "minor"),
    [(150, "NOK", 150), (0, "NOK", 0), (1_00, "JPY", 1), (25_000_00, "ISK", 25_000), (1, "KWD", 10)],
)
def test_amounts_translate_exactly_both_ways(x100: int, currency: str, minor: int) -> None:
    assert minor_from_x100(x100, currency) == minor
    assert x100_from_minor(minor, currency) == x100


def test_an_amount_that_a_currency_cannot_say_is_refused() -> None:
    with pytest.raises(MoneyError):
        minor_from_x100(150, "JPY")
    with pytest.raises(MoneyError):
        x100_from_minor(1_001, "KWD")


# Status.


@pytest.mark.parametrize(
    ("text", "active", "balance_x100", "valid_to", "expected"),
    [
        ("ACTIVE", None, 100, None, CardStatus.ACTIVE),
        ("ACTIVE", None, 100, PAST, CardStatus.ACTIVE),
        # The deprecated flag counts only where status is missing.
        ("ACTIVE", False, 100, None, CardStatus.ACTIVE),
        ("INACTIVE", None, 0, None, CardStatus.INACTIVE),
        ("INACTIVE", None, 1, None, CardStatus.SUSPENDED),
        ("BLOCKED", None, 0, None, CardStatus.SUSPENDED),
        ("CLEARED", None, 0, None, CardStatus.CLOSED),
        ("EXPIRED", None, 100, PAST, CardStatus.ACTIVE),
        # It says expired and shows no date in the past: not to be believed.
        ("EXPIRED", None, 100, None, None),
        ("EXPIRED", None, 100, FUTURE, None),
        ("active", None, 100, None, None),
        ("SOMETHING_NEW", True, 100, None, None),
        (None, True, 100, None, CardStatus.ACTIVE),
        (None, False, 100, None, CardStatus.SUSPENDED),
        (None, False, 0, None, CardStatus.INACTIVE),
        (None, None, 100, None, None),
    ],
)
def test_every_status(
    text: str | None, active: bool | None, balance_x100: int, valid_to: datetime | None, expected: Any
) -> None:
    assert card_status(text, active, balance_x100, valid_to, NOW) is expected


def test_closing_is_clearing_and_a_suspension_is_never_a_clearing() -> None:
    assert status_change(CardStatus.CLOSED, None, by_active_flag=False) == {"status": "CLEARED"}
    assert status_change(CardStatus.ACTIVE, None, by_active_flag=False) == {"status": "ACTIVE"}
    assert status_change(CardStatus.SUSPENDED, None, by_active_flag=False) is None
    assert status_change(CardStatus.SUSPENDED, "INACTIVE", by_active_flag=False) == {"status": "INACTIVE"}
    assert status_change(CardStatus.SUSPENDED, None, by_active_flag=True) == {"active": False}
    assert status_change(CardStatus.CLOSED, None, by_active_flag=True) is None
    assert status_change(CardStatus.INACTIVE, "INACTIVE", by_active_flag=False) is None


# Expiry.


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        (date(2031, 5, 17), "2031-05-17T21:59:59.999Z"),
        (date(2031, 1, 17), "2031-01-17T22:59:59.999Z"),
        # The days on which the clock changes, and the ones before.
        (date(2026, 3, 28), "2026-03-28T22:59:59.999Z"),
        (date(2026, 3, 29), "2026-03-29T21:59:59.999Z"),
        (date(2026, 10, 24), "2026-10-24T21:59:59.999Z"),
        (date(2026, 10, 25), "2026-10-25T22:59:59.999Z"),
    ],
)
def test_a_card_lasts_to_the_end_of_its_day_in_oslo(day: date, instant: str) -> None:
    assert instant_text(expiry_instant(day, OSLO)) == instant
    assert expiry_date(datetime.fromisoformat(instant), OSLO) == day


def test_no_expiry_is_no_expiry() -> None:
    assert expiry_date(None, OSLO) is None


def test_an_instant_in_the_middle_of_a_day_is_that_day_in_the_stores_zone() -> None:
    # flow.md §3's example: half past nine in the evening UTC, and half past ten in Oslo.
    assert expiry_date(datetime.fromisoformat("2025-10-30T21:24:19.803Z"), OSLO) == date(2025, 10, 30)
    assert expiry_date(datetime.fromisoformat("2025-10-30T23:24:19.803Z"), OSLO) == date(2025, 10, 31)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from(ZONES))
def test_a_date_goes_there_and_back(day: date, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)

    instant = expiry_instant(day, zone)

    assert expiry_date(instant, zone) == day
    # A millisecond later it is another day, whatever the clock does that night.
    assert expiry_date(instant + timedelta(milliseconds=1), zone) == day + timedelta(days=1)
    # What goes over the wire, cut to milliseconds, is the same instant.
    assert datetime.fromisoformat(instant_text(instant)) == instant


def test_days_that_cannot_be_said_are_refused() -> None:
    # Samoa went over the date line: there was no 30 December.
    with pytest.raises(ValueError, match="does not exist"):
        expiry_instant(date(2011, 12, 30), ZoneInfo("Pacific/Apia"))
    with pytest.raises(ValueError, match="too far away"):
        expiry_instant(date.max, ZoneInfo("America/New_York"))
    assert expiry_date(datetime.max.replace(tzinfo=UTC), OSLO) == date.max


# Markers.


def test_a_note_carries_words_and_one_marker() -> None:
    note = note_with_marker("online ••••2b5a, Kari", "gs-abc1")

    assert note == "online ••••2b5a, Kari gs-abc1"
    assert marker_in(note) == "gs-abc1"
    assert note_with_marker("", "gs-abc1") == "gs-abc1"
    # A marker among the words would hide ours.
    assert marker_in(note_with_marker("was gs-old7", "gs-abc1")) == "gs-abc1"


@pytest.mark.parametrize("note", ["", "Kari", "gs-", "dogs-abc1", "gs-abc1-x", "gs-abc1 gs-def2"])
def test_what_is_no_single_marker(note: str) -> None:
    assert marker_in(note) is None


def test_our_orders_are_known_by_their_number() -> None:
    assert marker_of_order(order_number("gs-abc1", 1)) == "gs-abc1"
    assert marker_of_order(order_number("gs-abc1", 2)) == "gs-abc1"
    assert marker_of_order("gs-abc1x-y") is None
    assert marker_of_order("1007") is None
    assert marker_of_order("") is None


# Settlements.


@pytest.mark.parametrize(
    ("state", "status", "fate"),
    [
        ("COMPLETED", "APPROVED", SettlementFate.FINAL),
        ("completed", "", SettlementFate.FINAL),
        ("NOT_STARTED", "NEW", SettlementFate.PENDING),
        ("COMPLETED", "NEW", SettlementFate.PENDING),
        ("COMPLETED", "DECLINED", SettlementFate.DECLINED),
        ("FAILED", "SOMETHING", SettlementFate.DECLINED),
        ("COMPLETED", "SOMETHING", SettlementFate.UNKNOWN),
        ("", "", SettlementFate.UNKNOWN),
    ],
)
def test_a_settlement_is_final_only_when_all_its_words_say_so(
    state: str, status: str, fate: SettlementFate
) -> None:
    assert settlement_fate(state, status, SettlementWords()) is fate


# Settings.

GOOD: dict[str, Any] = {"tenant": "7", "store": "70", "token": "secret-token", "timezone": "Europe/Oslo"}


def test_settings_keep_the_token_to_themselves() -> None:
    settings = FlowSettings(**GOOD, cvc_for=lambda _: "123")

    assert "secret-token" not in repr(settings)
    assert "cvc_for" not in repr(settings)
    assert settings.base_url == "https://api.flowretail.com/v2"


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": "7/8"},
        {"store": ""},
        {"token": ""},
        {"timezone": "Oslo"},
        {"currency": "kroner"},
        {"api_settlement_debits": True},
        {"refund_settlement_credits": True},
        {"api_issue_allowed": True, "item_number_field": "externalId"},
        {"api_issue_allowed": True, "gift_card_product_uids": {"giftcard": "901"}},
        {"default_brand": "giftcard"},
        {"calls_per_second": 0},
        {"receipts_page_size": 0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:
        FlowSettings(**{**GOOD, **wrong})
    assert "secret-token" not in str(caught.value)


def test_a_brand_finds_its_product() -> None:
    one = FlowSettings(**GOOD, gift_card_product_uids={"giftcard": "901"})
    two = FlowSettings(**GOOD, gift_card_product_uids={"giftcard": "901", "voucher": "902"})

    assert (one.product_of(None), one.product_of("voucher")) == ("901", None)
    assert (two.product_of(None), two.product_of("voucher")) == (None, "902")
    assert (two.brand_of("902"), two.brand_of("100")) == ("voucher", None)


def test_given_a_nul_in_a_text_then_it_is_left_out_because_no_database_need_hold_it() -> None:
    assert loose_text({"note": "paid\x00 online"}, "note") == "paid online"
