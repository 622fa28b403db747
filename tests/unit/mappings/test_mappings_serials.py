"""Serials for all inputs: normalising, lengthening, ranges, and what every side can hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.memory import CAPABILITIES
from mappings.ranges import NumberRange, inside
from mappings.serials import (
    LENGTHENED_PREFIX,
    QR_PREFIX,
    Serial,
    SerialError,
    is_lengthened,
    lengthened,
    normalise,
)

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
texts = st.text(ALPHABET, min_size=1, max_size=64)
short = st.text(ALPHABET, min_size=1, max_size=7)
noises = st.lists(st.sampled_from([" ", "-", "\u00a0", "\u2011"]), min_size=1, max_size=8)


@given(st.text(max_size=80))
def test_normalising_gives_letters_and_digits_or_says_why_not_and_never_shows_the_serial(raw: str) -> None:
    try:
        text = normalise(raw)
    except SerialError as error:
        said = str(error)
    else:
        assert set(text) <= set(ALPHABET)
        assert 1 <= len(text) <= 64
        assert normalise(text) == text
        return
    assert len(raw.strip()) < 6 or raw.strip() not in said


@given(texts, noises, st.booleans())
def test_spaces_dashes_case_and_the_qr_prefix_change_nothing(text: str, noise: list[str], qr: bool) -> None:
    step = max(1, len(text) // len(noise))
    parts = [text[i : i + step] for i in range(0, len(text), step)]
    noisy = parts[0] + "".join(noise[i % len(noise)] + part for i, part in enumerate(parts[1:]))

    assert Serial((QR_PREFIX.upper() if qr else "") + noisy.upper()) == Serial(text)


@given(texts)
def test_lengthening_adds_the_prefix_and_keeps_the_end(text: str) -> None:
    serial = Serial(text)
    assume(not is_lengthened(serial))

    longer = lengthened(serial)

    assert longer.reveal() == (text if len(text) >= 8 else LENGTHENED_PREFIX + text)
    assert len(longer.reveal()) >= 8
    assert CAPABILITIES.accepts_serial(longer) is None or len(text) > 20
    assert longer.last_chars[-min(4, len(text)) :] == serial.last_chars


@given(texts, texts)
def test_no_two_numbers_become_one(one: str, other: str) -> None:
    assume(one != other)
    assume(not is_lengthened(Serial(one)) and not is_lengthened(Serial(other)))

    assert lengthened(Serial(one)) != lengthened(Serial(other))


@given(short, short)
def test_no_two_short_numbers_become_one(one: str, other: str) -> None:
    assert (lengthened(Serial(one)) == lengthened(Serial(other))) == (one == other)


@given(short)
def test_a_number_that_looks_lengthened_already_is_refused(text: str) -> None:
    with pytest.raises(SerialError, match="stands for a lengthened number"):
        lengthened(Serial(LENGTHENED_PREFIX + text))


def test_leading_zeros_stay_apart() -> None:
    assert [lengthened(Serial(n)).reveal() for n in ("7", "07", "0000007")] == [
        "giftsync7",
        "giftsync07",
        "giftsync0000007",
    ]
    assert lengthened(Serial("12345678")) == Serial("12345678")


def test_a_range_holds_numbers_of_its_length_and_prefix_only() -> None:
    made = NumberRange("made", "9900")

    assert (
        inside(made, [Serial("9900000000000001"), Serial("990000000000001"), Serial("99000000000000ab")]) == 1
    )
    assert "9900000000000001" not in made


NO_RANGES = [("", "digits"), ("99a", "digits"), ("²", "digits"), ("9" * 16, "none")]


@pytest.mark.parametrize(("prefix", "why"), NO_RANGES)
def test_a_range_that_is_none_is_refused(prefix: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        NumberRange("made", prefix)


@given(texts)
def test_what_a_side_cannot_hold_is_said_without_the_serial(text: str) -> None:
    pos = replace(CAPABILITIES, serial_length_min=16, serial_length_max=16, serial_digits_only=True)
    reason = pos.accepts_serial(Serial(text))

    assert (reason is None) == (len(text) == 16 and text.isdigit())
    assert reason is None or len(text) < 4 or text not in reason
