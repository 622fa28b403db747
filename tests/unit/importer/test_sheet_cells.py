"""Cells as people and spreadsheets write them: taken exactly, or refused with a reason that shows nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.lifecycle import CardStatus
from mappings.money import decimal_from_minor
from mappings.serials import Serial
from sync.importer.sheets import cells
from sync.importer.sheets.cells import CellError, Marks

OSLO = ZoneInfo("Europe/Oslo")


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0012345678901234", "0012345678901234"),
        ("  0012345678901234 ", "0012345678901234"),
        ("\u00a01234 5678 9012 3456\u00a0", "1234567890123456"),
        ("1234-5678-9012-3456", "1234567890123456"),
        ('="0012345678"', "0012345678"),
        ("'0012345678", "0012345678"),
        ("ABCD1234", "abcd1234"),
    ],
)
def test_given_a_number_in_any_dress_then_its_digits_and_leading_zeros_are_kept(
    written: str, number: str
) -> None:
    assert cells.number(written) == Serial(number)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("1.23E+15", "scientific notation"),
        ("1,23E+15", "scientific notation"),
        ("1e15", "scientific notation"),
        ("1234567890123456.0", "decimals"),
        ("#REF!", "spreadsheet's error"),
        ("**********8904", "masked"),
        ("", "missing"),
        ("   ", "missing"),
        ("12_34", "letters a-z and digits"),
        ("1" * 65, "more than 64"),
    ],
)
def test_given_a_number_that_is_none_then_the_reason_says_what_to_do_and_shows_nothing(
    written: str, reason: str
) -> None:
    with pytest.raises(CellError, match=reason) as caught:
        cells.number(written)
    digits = written.strip()
    assert not digits or digits not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "marks", "minor"),
    [
        ("500", None, 50_000),
        ("500,00", None, 50_000),
        ("500.5", None, 50_050),
        ("1 234,50", None, 123_450),
        ("1.234,50", None, 123_450),
        ("1,234.50", None, 123_450),
        ("1'234.50", None, 123_450),
        ("1.234", ",", 123_400),
        ("1,234", ".", 123_400),
        ("1.234.567", None, 123_456_700),
        ("kr 100,-", None, 10_000),
        ("NOK 12.50", ".", 1_250),
        ("(5.00)", None, -500),
        ("-5,00", None, -500),
        ("\u22125,00", None, -500),
    ],
)
def test_given_an_amount_then_it_is_taken_to_the_minor_unit(
    written: str, marks: str | None, minor: int
) -> None:
    assert cells.amount(written, "NOK", Marks(marks)) == minor


@pytest.mark.parametrize(
    ("written", "marks", "reason"),
    [
        ("1.234", None, "two ways"),
        ("1,234", ",", "finer"),
        ("500,00", ".", "another decimal mark"),
        ("EUR 5", None, "not in NOK"),
        ("5.00 usd", None, "not in NOK"),
        ("1,2,3", None, "not a number"),
        ("a lot", None, "not a number"),
        ("(5", None, "not a number"),
        ("", None, "missing"),
        ("0.001", ".", "finer"),
        ("9" * 17, None, "larger"),
        ("\u0663", None, "not a number"),
    ],
)
def test_given_an_amount_that_cannot_be_taken_exactly_then_it_is_refused(
    written: str, marks: str | None, reason: str
) -> None:
    with pytest.raises(CellError, match=reason):
        cells.amount(written, "NOK", Marks(marks))


@given(st.integers(0, 10**9), st.sampled_from([(".", ","), (",", "."), (",", " ")]))
def test_given_any_amount_with_thousands_grouped_then_it_comes_back(
    minor: int, marks: tuple[str, str]
) -> None:
    decimal, group = marks
    whole, fraction = decimal_from_minor(minor, "NOK").split(".")
    written = f"{int(whole):,}".replace(",", group) + decimal + fraction
    assert cells.amount(written, "NOK", Marks(decimal)) == minor
    assert cells.amount(f"{whole}{decimal}{fraction}", "NOK", Marks(decimal)) == minor


@given(st.text(max_size=30))
def test_given_anything_at_all_then_a_cell_is_taken_or_refused(text: str) -> None:
    for read in (
        lambda: cells.number(text),
        lambda: cells.amount(text, "NOK", Marks(",")),
        lambda: cells.minor_amount(text),
        lambda: cells.day(text, OSLO, None),
        lambda: cells.flag(text),
        lambda: cells.status(text, {"active": CardStatus.ACTIVE}, None),
    ):
        with suppress(CellError):
            read()
    cells.decimal_mark_told(text)
    cells.day_first_told(text)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2027-12-31", date(2027, 12, 31)),
        ("2027-12-31T22:59:59.999Z", date(2027, 12, 31)),
        ("2027-12-31T23:30:00Z", date(2028, 1, 1)),
        ("2027-12-31 10:00:00", date(2027, 12, 31)),
        ("31.12.2027", date(2027, 12, 31)),
        ("18.10.2016 20:02", date(2016, 10, 18)),
        ("31/12/2027", date(2027, 12, 31)),
        ("12/31/2027", date(2027, 12, 31)),
        ("5/5/2027", date(2027, 5, 5)),
        ("20271231", date(2027, 12, 31)),
        ("", None),
        ("never", None),
    ],
)
def test_given_a_date_then_it_is_the_day_in_the_shops_zone(written: str, day: date | None) -> None:
    assert cells.day(written, OSLO, None) == day


@pytest.mark.parametrize(
    ("written", "day_first", "reason"),
    [
        ("04/05/2027", None, "cannot be told apart"),
        ("31/12/2027", False, "another order"),
        ("2027-13-45", None, "does not exist"),
        ("31.02.2027", None, "does not exist|not understood"),
        ("soon", None, "not understood"),
    ],
)
def test_given_a_date_that_is_unclear_then_it_is_refused(
    written: str, day_first: bool | None, reason: str
) -> None:
    with pytest.raises(CellError, match=reason):
        cells.day(written, OSLO, day_first)


def test_given_a_date_with_slashes_then_the_files_habit_decides() -> None:
    assert cells.day("04/05/2027", OSLO, True) == date(2027, 5, 4)
    assert cells.day("04/05/2027", OSLO, False) == date(2027, 4, 5)


def test_given_an_unknown_status_then_the_known_ones_are_listed() -> None:
    with pytest.raises(CellError, match="active, cleared"):
        cells.status("gone", {"cleared": CardStatus.CLOSED, "active": CardStatus.ACTIVE}, CardStatus.ACTIVE)
