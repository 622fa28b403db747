"""Serials: what is printed on a card or mailed to its owner. A serial is money and never shown whole."""

from __future__ import annotations

import re
from typing import Final

#: What a gift-card QR code of a shop carries before the code (peers.md §2).
QR_PREFIX: Final = "shopify-giftcard-v1-"

_SEPARATORS: Final = re.compile(r"[\s\-\u00a0\u2010-\u2015]+")
_ALPHABET: Final = re.compile(r"[a-z0-9]+")

SERIAL_LENGTH_MAX: Final = 64

#: Shopify's codes have 8 to 20 characters (shopify.md §3.2), so the shorter numbers of older cards need more.
SHORT_LENGTH_MAX: Final = 7
#: What is put before a short number. No side generates it, so a lengthened number is told from every other.
LENGTHENED_PREFIX: Final = "giftsync"


class SerialError(ValueError):
    """A serial that cannot be used; the message says why and never shows it."""


def mask(last_chars: str) -> str:
    """`••••1234`: the only form in which a serial may be shown."""
    return f"••••{last_chars[-4:]}"


class Serial:
    """A normalised serial that masks itself wherever it is printed.

    Two serials are equal when their normalised texts are. `reveal` and `written` are for the wire and for
    sealing only. A side may compare numbers exactly, so it is asked for the spelling that was given.
    """

    __slots__ = ("_text", "_written")

    def __init__(self, raw: str) -> None:
        if raw.isascii() and raw.isdigit() and len(raw) <= SERIAL_LENGTH_MAX:
            self._text = self._written = raw  # As most numbers are; files have millions of them.
            return
        self._text = normalise(raw)
        self._written = _without_prefix(raw.strip())

    def reveal(self) -> str:
        """The normal form, by which serials are compared."""
        return self._text

    @property
    def written(self) -> str:
        """As it was given: with its dashes, spaces and capitals."""
        return self._written

    @property
    def spellings(self) -> tuple[str, ...]:
        """What to ask an exact side for: as it was given, then in normal form and in capitals."""
        return tuple(dict.fromkeys((self._written, self._text, self._text.upper())))

    @property
    def last_chars(self) -> str:
        """The last four characters, lower case."""
        return self._text[-4:]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Serial) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Serial({mask(self._text)})"

    __str__ = __repr__


def normalise(raw: str) -> str:
    """Lower case, without the QR prefix, spaces and dashes; idempotent.

    Raises SerialError when nothing, or anything but a-z and 0-9, is left.
    """
    text = _SEPARATORS.sub("", _without_prefix(raw.strip().lower()))
    if not text:
        raise SerialError("the serial is empty")
    if len(text) > SERIAL_LENGTH_MAX:
        raise SerialError(f"the serial has more than {SERIAL_LENGTH_MAX} characters")
    if not _ALPHABET.fullmatch(text):
        raise SerialError("the serial may contain only letters a-z and digits")
    return text


def _without_prefix(text: str) -> str:
    return text[len(QR_PREFIX) :] if text.lower().startswith(QR_PREFIX) else text


# --- Short numbers ------------------------------------------------------------------------------------------


def lengthened(serial: Serial) -> Serial:
    """`giftsync` and then the number: `12345` becomes `giftsync12345`; one of 8 characters or more stays.

    Nothing else is filled in, so leading zeros stay what they are, and a customer can be told the rule in one
    sentence. No two numbers become one: a number that looks lengthened already is refused with SerialError.
    """
    text = serial.reveal()
    if is_lengthened(serial):
        raise SerialError(f"the serial begins with {LENGTHENED_PREFIX}, which stands for a lengthened number")
    return serial if len(text) > SHORT_LENGTH_MAX else Serial(LENGTHENED_PREFIX + text)


def is_lengthened(serial: Serial) -> bool:
    """Whether this is a short number that `lengthened` made longer."""
    text = serial.reveal()
    added = len(text) - len(LENGTHENED_PREFIX)
    return text.startswith(LENGTHENED_PREFIX) and 1 <= added <= SHORT_LENGTH_MAX
