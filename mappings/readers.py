"""Who reads a file or a mail: their language, and how they write amounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mappings.money import currency_exponent, format_money
from mappings.sentences import Sentence, renamed


class Reader(Protocol):
    """What is written for people outside the pages: reports, statements, mails, printed cards."""

    @property
    def language(self) -> str:
        """As HTML names it: `en`, `nb`."""

    def said(self, words: str) -> str:
        """A sentence with its values, or a message that was `marked`; any other text as it is."""

    def side(self, name: str) -> str:
        """What people call the side."""

    def reason(self, reason: str) -> str:
        """Why a row of a file is left out: an English sentence of the ledger's."""

    def kind(self, kind: str) -> str:
        """A kind of conflict."""

    def figure(self, minor: int, exponent: int) -> str:
        """An amount without its currency, or with an exponent of 0 a count."""

    def money(self, minor: int, currency: str) -> str: ...


@dataclass(frozen=True)
class EnglishReader:
    """Reads what giftsync writes as it is."""

    #: What people call each side; none: as it is configured.
    names: Callable[[], Mapping[str, str]] = dict

    @property
    def language(self) -> str:
        return "en"

    def said(self, words: str) -> str:
        if not isinstance(words, Sentence):
            return words
        names = self.names()
        return str(renamed(words, lambda side: names.get(side, side)))

    def side(self, name: str) -> str:
        return self.names().get(name, name.capitalize())

    def reason(self, reason: str) -> str:
        return reason

    def kind(self, kind: str) -> str:
        return kind.replace("_", " ")

    def figure(self, minor: int, exponent: int) -> str:
        """`1 234.50`."""
        sign, digits = "-" if minor < 0 else "", str(abs(minor)).zfill(exponent + 1)
        whole = f"{int(digits[: len(digits) - exponent]):,}".replace(",", " ")
        return f"{sign}{whole}.{digits[-exponent:]}" if exponent else f"{sign}{whole}"

    def money(self, minor: int, currency: str) -> str:
        return format_money(minor, currency)


ENGLISH = EnglishReader()


def figure_of(reader: Reader, minor: int, currency: str) -> str:
    """The amount without its currency."""
    return reader.figure(minor, currency_exponent(currency))
