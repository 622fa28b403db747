"""Why a row of a file is left out, in the reader's language.

A plan, its files and the terminal keep each reason as an English sentence, so that a million rows
cost nothing more; here the sentence is found again by the message that it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Final

from connectors.api.capabilities import Place
from console.words import Words
from mappings.sentences import marked

#: Values that are reasons or parts of one themselves.
_PARTS: Final = frozenset({"reason", "doubt", "place"})
#: What names a command of the terminal, and what a page says instead.
_ON_A_PAGE: Final[Mapping[str, str]] = {
    "the year has two digits; say how dates are written, such as --dates DD.MM.YY, or write 2027-12-31": (
        marked(
            "the year has two digits; write 2027-12-31, or have the file read again and say how dates are "
            "written, such as DD.MM.YY"
        )
    ),
    'the month is a word; say how dates are written, such as --dates "Mon D, YYYY", or write 2027-12-31': (
        marked(
            "the month is a word; write 2027-12-31, or have the file read again and say how dates are "
            "written, such as Mon D, YYYY"
        )
    ),
    "day and month cannot be told apart, and no other row of the file tells which comes first; write the "
    "date as 2027-12-31, or say --dates DD/MM/YYYY or --dates MM/DD/YYYY": marked(
        "day and month cannot be told apart, and no other row of the file tells which comes first; write the "
        "date as 2027-12-31, or have the file read again and say how dates are written, DD/MM/YYYY or "
        "MM/DD/YYYY"
    ),
    "the status is not one of the words that are known; a mapping file says what it means (`giftsync import "
    "layout FILE` lists all words of the column)": marked(
        "the status is not one of the words that are known; write active, suspended, inactive or closed, or "
        "ask whoever runs giftsync for a mapping file that says what it means"
    ),
    "the number has {count} digits, the others {whole}: a spreadsheet drops leading zeros; format that "
    "column as text and export again (or say --mixed-lengths if it is printed so)": marked(
        "the number has {count} digits, the others {whole}: a spreadsheet drops leading zeros; format that "
        "column as text and export again. If it is printed so, have the file read again and say that numbers "
        "have several lengths"
    ),
}
MESSAGES: Final = (
    # --- What a cell holds.
    marked("the card number is missing"),
    marked("the number is masked; export it with a user who may see whole numbers"),
    marked("it is a word, not a card number"),
    marked(
        "a spreadsheet turned the number into scientific notation and its last digits are lost; "
        "export the file again with that column formatted as text"
    ),
    marked("a spreadsheet gave the number decimals; format that column as text and export again"),
    marked("a spreadsheet turned it into a date; format that column as text and export again"),
    marked("the cell holds a spreadsheet's error instead of a number"),
    marked("the serial is empty"),
    marked("the serial has more than {most} characters"),
    marked("the serial may contain only letters a-z and digits"),
    marked("the serial begins with {prefix}, which stands for a lengthened number"),
    marked("the amount is not in {currency}, the link's currency; nothing is converted"),
    marked("the amount is larger than any gift card holds"),
    marked("the amount is missing"),
    marked("the amount is not a number"),
    marked("the amount is not a whole number"),
    marked("the amount uses another decimal mark than the rest of the file ({mark})"),
    marked(
        "the amount can be read in two ways (thousands or decimals), and no other row of the file tells "
        "which; write it with two decimals"
    ),
    marked("the balance is negative"),
    marked("the balance is positive: the card would owe money"),
    marked("the date does not exist"),
    marked("the date is not understood; write it as 2027-12-31"),
    marked("the date has day and month in another order than the rest of the file"),
    marked("a spreadsheet's number of a day; format the column as a date and export again"),
    *_ON_A_PAGE,
    marked("neither true nor false"),
    marked("the status is not one of {known}"),
    # --- What a row holds.
    marked(
        "the row has {count} cells, the header {whole}: a delimiter stands inside a value without quotes "
        "around it"
    ),
    marked("the row has {count} cells, the header {whole}: it is cut off"),
    marked("the row holds a zero byte"),
    marked("a cell of the row is longer than {count} characters"),
    marked("a quote that opens here never closes"),
    marked("a quote that opens here is not closed, or a quote stands inside a value"),
    marked("the id is not the number of a gift card of the shop"),
    marked("the last four characters of the code are missing"),
    marked(
        "fewer than four characters: a spreadsheet drops leading zeros; format that column as text and "
        "export again"
    ),
    marked("the card is not in {currency}, the link's currency; nothing is converted"),
    marked("the pool is not in the file of pools"),
    marked("the pool needs a CVV (IsCvvRequired), and the row has none"),
    # --- What several rows hold.
    marked("the same card as on {place}"),
    marked("one number with different balances or statuses: {places}"),
    marked("line {line} of {name}"),
    marked("line {line}"),
    # --- What becomes of a card.
    marked("its brand is excluded"),
    marked("the same on both sides"),
    marked("closed"),
    marked("suspended"),
    marked("inactive"),
    marked("not active"),
    marked("deactivated"),
    marked("nothing on it"),
    marked("not sold yet"),
    marked("expired on {day}"),
    marked("two balances; a person says which is right"),
    marked("two balances; the link believes {side}"),
    marked("two balances; the link takes the lower one"),
    marked("two balances; the link takes the higher one"),
    marked("the link makes no cards online"),
    marked("the link makes no cards in the store"),
    marked("more than one card may hold online ({money})"),
    marked("more than the link's bound for one card, money_per_card ({money})"),
    marked("it is in {currency} online; nothing is converted"),
    marked("it is in {currency}; nothing is converted"),
    marked("giftsync made it for a store card whose number is in none of the files"),
    marked("it was not bought online and its code ends in four digits, as store numbers do"),
    marked("{doubt}: it may be a store card that is missing in the files"),
    marked("{side} has no such card"),
    marked("{side} shows an unknown status"),
    marked("{side} does not show it: {reason}"),
    marked("cannot be compared: {reason}"),
    marked(
        "the number begins with {prefix}, as those that giftsync makes for cards bought online: bring its "
        "ledger back, or choose another serial_prefix"
    ),
    marked("the number has {count} characters; at least {least} are needed"),
    marked("the number has {count} characters; at most {most} are allowed"),
    marked("the number has letters; only digits are allowed"),
    marked("the number {reason}"),
)
_PLAIN: Final = frozenset(message for message in MESSAGES if "{" not in message)


def _pattern(message: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", message)
    text = [f"(?P<{part}>.+)" if n % 2 else re.escape(part) for n, part in enumerate(parts)]
    return re.compile("".join(text), re.DOTALL)


_PATTERNS: Final = [(message, _pattern(message)) for message in MESSAGES if message not in _PLAIN]


def in_words(reason: str, words: Words, places: Mapping[str, Place]) -> str:
    """The reason as a sentence of the language; one that is not known here, such as a side's own, stays."""
    said = _said(reason, words, places)
    return said[:1].upper() + said[1:]


def _said(reason: str, words: Words, places: Mapping[str, Place]) -> str:
    if reason in _PLAIN:
        return words.text(_ON_A_PAGE.get(reason, reason))
    for message, pattern in _PATTERNS:
        found = pattern.fullmatch(reason)
        if found is not None:
            values = {name: _value(name, text, words, places) for name, text in found.groupdict().items()}
            return words.text(_ON_A_PAGE.get(message, message), **values)
    return words.amounts(reason, places)


def _value(name: str, text: str, words: Words, places: Mapping[str, Place]) -> str:
    if name in _PARTS:
        return _said(text, words, places)
    if name == "places":
        return ", ".join(_said(one, words, places) for one in text.split(", "))
    if name == "side" and text in places:
        return places[text].name
    if name == "money":
        return words.amounts(text)
    if name == "day":
        try:
            return words.day(date.fromisoformat(text))
        except ValueError:
            return text
    return text
