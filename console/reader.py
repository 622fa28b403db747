"""Readers of files and mails in the languages that the pages know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal

from connectors.api.capabilities import Place
from console.reasons import in_words
from console.words import Words
from mappings.readers import EnglishReader, Reader
from mappings.sentences import Sentence

Places = Callable[[], Mapping[str, Place]]


def reader_of(language: str, zone: ZoneInfo, places: Places = dict) -> Reader:
    """Who reads the language. English stays as giftsync writes it, with a point for decimals."""
    if language == "en":
        return EnglishReader(lambda: {name: place.name for name, place in places().items()})
    return _Reader(Words.of(language, zone), places)


@dataclass(frozen=True)
class _Reader:
    words: Words
    #: By name of the side, as people know them.
    places: Places

    @property
    def language(self) -> str:
        return self.words.language

    def said(self, words: str) -> str:
        if isinstance(words, Sentence):
            return self.words.amounts(words, self.places())
        return self.words.text(words) if words else ""

    def side(self, name: str) -> str:
        place = self.places().get(name)
        return name.capitalize() if place is None else place.name

    def reason(self, reason: str) -> str:
        return in_words(reason, self.words, self.places())

    def kind(self, kind: str) -> str:
        return self.words.kind(kind)

    def figure(self, minor: int, exponent: int) -> str:
        """`1 234,50`."""
        decimals = f".{'0' * exponent}" if exponent else ""
        value = Decimal(minor).scaleb(-exponent)
        written = format_decimal(value, format=f"#,##0{decimals}", locale=self.words.locale)
        return str(written).replace("−", "-")

    def money(self, minor: int, currency: str) -> str:
        return self.words.money(minor, currency)
