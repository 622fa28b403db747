"""Money is exact: what cannot be taken to the minor unit is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.money import (
    AMOUNT_MINOR_MAX,
    MoneyError,
    currency_exponent,
    decimal_from_minor,
    format_money,
    minor_from_decimal,
    minor_from_text,
)

amounts = st.integers(-AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX)
currencies = st.sampled_from(["NOK", "EUR", "JPY", "ISK", "KWD", "BHD"])


@given(amounts, currencies)
def test_given_any_amount_then_it_survives_the_way_out_and_back(minor: int, currency: str) -> None:
    assert minor_from_decimal(decimal_from_minor(minor, currency), currency) == minor


@given(amounts, currencies, st.integers(0, 30))
def test_given_zeros_behind_then_the_amount_is_the_same(minor: int, currency: str, zeros: int) -> None:
    text = decimal_from_minor(minor, currency)
    text += "0" * zeros if "." in text else ""
    assert minor_from_decimal(text, currency) == minor


@given(st.integers(-(10**12), 10**12), currencies, st.integers(1, 60))
def test_given_anything_finer_than_the_minor_unit_then_it_is_refused(
    minor: int, currency: str, depth: int
) -> None:
    text = decimal_from_minor(minor, currency)
    text += ("" if "." in text else ".") + "0" * (depth - 1) + "1"
    with pytest.raises(MoneyError, match="finer than the minor unit"):
        minor_from_decimal(text, currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("41.5", "NOK", 4_150),
        ("41.50", "NOK", 4_150),
        ("-0.01", "NOK", -1),
        ("0", "NOK", 0),
        ("1e2", "NOK", 10_000),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1_234),
    ],
)
def test_given_a_decimal_then_these_minor_units(text: str, currency: str, minor: int) -> None:
    assert minor_from_decimal(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a decimal number"),
        ("a hundred", "not a decimal number"),
        ("1,50", "not a decimal number"),
        (None, "not a decimal number"),
        ("NaN", "not a finite number"),
        ("sNaN", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("0.001", "finer than the minor unit of NOK"),
        ("1e-999999999", "finer than the minor unit of NOK"),
        ("10000000000000.01", "larger than any gift card holds"),
        ("1e999999999", "larger than any gift card holds"),
        ("-1e999999999", "larger than any gift card holds"),
    ],
)
def test_given_what_is_no_amount_then_the_refusal_says_why(text: str, words: str) -> None:
    with pytest.raises(MoneyError, match=words):
        minor_from_decimal(text, "NOK")


@pytest.mark.parametrize("currency", ["", "nok", "NO", "KRONE", "ÆØÅ"])
def test_given_no_currency_code_then_it_is_refused(currency: str) -> None:
    with pytest.raises(MoneyError, match="is not an ISO 4217 currency code such as NOK"):
        currency_exponent(currency)


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [
        (123_450, "NOK", "1 234.50 NOK"),
        (-5, "NOK", "-0.05 NOK"),
        (0, "EUR", "0.00 EUR"),
        (1_234_567, "JPY", "1 234 567 JPY"),
    ],
)
def test_given_an_amount_then_people_read_this(minor: int, currency: str, words: str) -> None:
    assert format_money(minor, currency).replace("\u2009", " ").replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("250", 25_000),
        ("250.00", 25_000),
        ("250,5", 25_050),
        ("1 234.50 NOK", 123_450),
        ("1\u00a0234,50 kr", 123_450),
        ("NOK 1,234.50", 123_450),
        ("1.234,50", 123_450),
        ("250,-", 25_000),
        ("kr 12 345 678", 1_234_567_800),
    ],
)
def test_an_amount_is_read_as_people_type_it_and_as_giftsync_prints_it(text: str, minor: int) -> None:
    assert minor_from_text(text, "NOK") == minor
    assert minor_from_text(format_money(minor, "NOK"), "NOK") == minor


@pytest.mark.parametrize("text", ["", "ten", "1,234", "1.234", "12 34", "1,2,3", "5 kr 5", "0x1", "250 SEK"])
def test_an_amount_that_can_be_read_in_two_ways_or_in_none_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        minor_from_text(text, "NOK")
