"""What expires on cards, and when: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from sync.books.classify import Context
from sync.books.entries import Facts, Movement
from sync.books.expiry import Expiry, ExpiryDates, expiry_change, expiry_entries

CONTEXT = Context(ZoneInfo("Europe/Oslo"), {})
FEBRUARY = datetime(2026, 1, 31, 23, tzinfo=UTC)
DATES = ExpiryDates(date(2026, 1, 31), date(2026, 2, 28), since=1)
CARD = Facts(1, "NOK", "", "flow", expires_on=date(2026, 2, 14))
EXPIRED_AT = datetime(2026, 2, 14, 23, tzinfo=UTC)


def movement(amount: int, at: datetime | None = None) -> Movement:
    """In February, or before it without a time."""
    when = at or datetime(2026, 1, 5, tzinfo=UTC)
    return Movement(1, 1, 1, "flow", "observed", amount, when, at is not None, None)


def told(card: Facts, *movements: Movement, dates: ExpiryDates = DATES) -> list[tuple[int, datetime]]:
    found = expiry_entries(card, movements, dates, CONTEXT, FEBRUARY)
    return [(entry.amount_minor, entry.happened_at or entry.booked_at) for entry in found]


def test_given_a_last_day_in_the_period_then_what_is_left_expires_at_its_end() -> None:
    used = movement(-30, datetime(2026, 2, 3, tzinfo=UTC))

    assert told(CARD, movement(100), used) == [(-70, EXPIRED_AT)]
    assert expiry_change(CARD, [movement(100), used], DATES) == Expiry(1, 70, date(2026, 2, 14))


def test_given_a_last_day_that_has_not_passed_then_nothing_expires() -> None:
    last_of_march = CARD._replace(expires_on=date(2026, 3, 1))

    assert told(last_of_march, movement(100)) == []
    assert told(CARD._replace(expires_on=None), movement(100)) == []
    assert told(CARD._replace(expires_on=date(2026, 2, 28)), movement(100)) != []


def test_given_cards_that_stay_owed_then_nothing_expires() -> None:
    stays = replace(DATES, ends_debt=False)

    assert told(CARD, movement(100), dates=stays) == []
    assert expiry_change(CARD, [movement(100)], stays) is None


def test_given_an_extension_after_the_close_then_the_value_is_owed_again_dated_by_the_old_last_day() -> None:
    extended = CARD._replace(
        expires_on=date(2027, 1, 1), carried_minor=100, carried_last_day=date(2026, 1, 20)
    )

    assert told(extended, movement(100)) == [(100, datetime(2026, 1, 20, 23, tzinfo=UTC))]
    assert expiry_change(extended, [movement(100)], DATES) == Expiry(1, -100, date(2026, 1, 20))


def test_given_a_last_day_that_is_put_into_a_closed_month_then_the_correction_is_dated_there() -> None:
    shortened = CARD._replace(expires_on=date(2026, 1, 10))

    assert told(shortened, movement(100)) == [(-100, datetime(2026, 1, 10, 23, tzinfo=UTC))]


def test_given_a_payment_with_an_expired_card_then_only_that_is_owed_and_used() -> None:
    expired = CARD._replace(
        expires_on=date(2026, 1, 10), carried_minor=100, carried_last_day=date(2026, 1, 10)
    )
    paid_at = datetime(2026, 2, 20, tzinfo=UTC)

    assert told(expired, movement(100), movement(-30, paid_at)) == [(30, paid_at)]


def test_given_a_draft_then_a_card_that_expired_before_it_has_been_booked() -> None:
    draft = replace(DATES, since=None)
    expired = CARD._replace(expires_on=date(2026, 1, 10), opening_expires_on=date(2026, 1, 10))

    assert told(expired, movement(100), dates=draft) == []
