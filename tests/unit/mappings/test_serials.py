"""Serials: one card has one normal form, and no form in which it is shown whole."""

from __future__ import annotations

import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.serials import QR_PREFIX, SERIAL_LENGTH_MAX, Serial, SerialError, mask, normalise

plain = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=SERIAL_LENGTH_MAX)
separators = st.text(" -\u00a0\u2010\u2013\u2015\t", max_size=3)


@given(st.text(max_size=80))
def test_given_any_text_then_normalising_twice_is_normalising_once(raw: str) -> None:
    try:
        once = normalise(raw)
    except SerialError:
        return
    assert normalise(once) == once
    assert set(once) <= set(string.ascii_lowercase + string.digits)
    assert 0 < len(once) <= SERIAL_LENGTH_MAX


@given(plain, st.data())
def test_given_a_serial_as_people_write_it_then_it_is_the_same(text: str, data: st.DataObject) -> None:
    written = "".join(
        data.draw(separators) + (letter.upper() if data.draw(st.booleans()) else letter) for letter in text
    )
    assert Serial(written) == Serial(text)
    assert hash(Serial(written)) == hash(Serial(text))
    assert Serial(written).reveal() == text


@given(plain)
def test_given_any_serial_then_no_more_than_four_characters_show(text: str) -> None:
    serial = Serial(text)
    for shown in (repr(serial), str(serial), f"{serial}", mask(text), repr([serial]), repr({"s": serial})):
        assert text[-4:] in shown
        if len(text) > 4:
            assert text not in shown.replace("Serial", "")
    assert mask(text) == "••••" + text[-4:]


def test_given_a_qr_code_then_its_prefix_is_not_part_of_the_serial() -> None:
    assert Serial(QR_PREFIX + "ABCD-EFGH-2345-6789") == Serial("abcdefgh23456789")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "the serial is empty"),
        (" - – ", "the serial is empty"),
        (QR_PREFIX, "the serial is empty"),
        ("1234.5678", "only letters a-z and digits"),
        ("123456789Ø", "only letters a-z and digits"),
        ("a" * 65, "more than 64 characters"),
    ],
)
def test_given_what_is_no_serial_then_the_refusal_says_why_and_does_not_show_it(raw: str, words: str) -> None:
    with pytest.raises(SerialError, match=words) as refusal:
        Serial(raw)
    assert raw == "" or raw not in str(refusal.value)


def test_given_another_thing_then_a_serial_does_not_equal_it() -> None:
    assert Serial("12345678") != "12345678"
    assert Serial("12345678") != Serial("12345679")


def test_given_a_short_serial_then_all_of_it_is_its_last_characters() -> None:
    assert (Serial("12").last_chars, Serial("ABCDEF").last_chars) == ("12", "cdef")


def test_given_a_serial_that_is_copied_then_it_is_the_same() -> None:
    assert pickle.loads(pickle.dumps(Serial("12345678"))) == Serial("12345678")
