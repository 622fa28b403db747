"""Sentences for people: a message with its values, so that a page can say it in another language.

A sentence is its own English text, so whoever knows nothing of languages (terminal, log, mail) takes it as
the string that it is. Put together with another string it is a string like any other: say both in one
message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from mappings.lifecycle import CardStatus
from mappings.money import format_money

#: Between the English text and what it was made of, in one column; no text has it.
_APART = "\x1f"


@dataclass(frozen=True)
class Money:
    """An amount, which each reader writes as where they are."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return format_money(self.minor, self.currency)


@dataclass(frozen=True)
class Day:
    """A date that is said in words."""

    day: date

    def __str__(self) -> str:
        return f"{self.day:%-d %B %Y}"


class Sentence(str):
    """`message` has `{name}` for each of the `values`. One whose name begins with `side` is a side's name."""

    message: str
    values: Mapping[str, object]

    def __new__(cls, message: str, values: Mapping[str, object]) -> Sentence:
        english = {name: _english(value) for name, value in values.items()}
        made = super().__new__(cls, message.format(**english) if values else message)
        made.message, made.values = message, values
        return made

    def __copy__(self) -> Sentence:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Sentence:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Sentence, (self.message, dict(self.values))


def say(message: str, **values: object) -> Sentence:
    """The sentence. `scripts/messages` finds every message that is said by this name."""
    return Sentence(message, values)


def marked(message: str) -> str:
    """A message that is said elsewhere with its values; `scripts/messages` finds it here."""
    return message


def in_a_row(parts: Iterable[object], between: str = " ") -> Sentence:
    """Sentences or values one after the other."""
    values = {f"part{n}": part for n, part in enumerate(parts)}
    return Sentence(between.join(f"{{{name}}}" for name in values), values)


def both(parts: Iterable[object]) -> Sentence:
    """`A`, `A and B`, `A and B and C`."""
    first, *rest = [*parts] or [""]
    made = in_a_row([first])
    for one in rest:
        made = say("{first} and {second}", first=made, second=one)
    return made


def renamed(sentence: Sentence, name_of: Callable[[str], str]) -> Sentence:
    """The sentence with every side called by the name that people know it by."""

    def named(name: str, value: object) -> object:
        if isinstance(value, Sentence):
            return renamed(value, name_of)
        return name_of(value) if name.startswith("side") and isinstance(value, str) else value

    return Sentence(sentence.message, {name: named(name, value) for name, value in sentence.values.items()})


def _english(value: object) -> str:
    match value:
        case None:
            return "never"
        case CardStatus():
            return value.value
        case date():
            return value.isoformat()
    return str(value)


# --- In a column of the ledger ------------------------------------------------------------------------------


def dump(sentence: str) -> str:
    """The English text, and after it what it was made of."""
    if not isinstance(sentence, Sentence):
        return sentence
    return f"{str(sentence).replace(_APART, ' ')}{_APART}{json.dumps(_plain(sentence), ensure_ascii=False)}"


def load(stored: str) -> str:
    """What `dump` made, or any other text as it is."""
    text, apart, made_of = stored.rpartition(_APART)
    if not apart:
        return stored
    try:
        found = _value(json.loads(made_of))
    except (ValueError, LookupError, TypeError, AttributeError):
        return text
    return found if isinstance(found, Sentence) else text


def _plain(value: object) -> object:
    match value:
        case Sentence():
            return {"say": value.message, "with": {name: _plain(one) for name, one in value.values.items()}}
        case Money():
            return {"minor": value.minor, "currency": value.currency}
        case CardStatus():
            return {"status": value.value}
        case date():
            return {"day": value.isoformat()}
        case Day():
            return {"said day": value.day.isoformat()}
        case None | int():
            return value
    return str(value)


def _value(plain: object) -> object:
    match plain:
        case {"say": str(message), "with": dict(values)}:
            return Sentence(message, {str(name): _value(one) for name, one in values.items()})
        case {"minor": int(minor), "currency": str(currency)}:
            return Money(minor, currency)
        case {"status": str(status)}:
            return CardStatus(status)
        case {"day": str(day)}:
            return date.fromisoformat(day)
        case {"said day": str(day)}:
            return Day(date.fromisoformat(day))
    return plain
