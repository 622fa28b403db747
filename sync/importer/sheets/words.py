"""Words in cells: text without what spreadsheets put around it, flags and statuses, in many languages. Pure.

No reason ever shows the content of a cell: it may be a serial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mappings.lifecycle import CardStatus


class CellError(ValueError):
    """A cell that cannot be taken; the message is the reason and what to do, without the content."""


SPACES: Final = " \t\u00a0\u202f\u2007\u200b\ufeff"

#: `TRUE` and `FALSE` as spreadsheets write them, from English to Polish, and what people write.
_TRUE: Final = frozenset(
    [
        "true",
        "sann",
        "sant",
        "sand",
        "wahr",
        "vrai",
        "verdadero",
        "verdadeiro",
        "vero",
        "waar",
        "tosi",
        "prawda",
        "pravda",
        "satt",
        "yes",
        "y",
        "ja",
        "oui",
        "si",
        "sí",
        "sì",
        "kyllä",
        "tak",
        "ano",
        "1",
        "1.0",
        "on",
        "t",
        "enabled",
        "active",
        "aktiv",
        "aktivert",
    ]
)
_FALSE: Final = frozenset(
    [
        "false",
        "usann",
        "falskt",
        "falsk",
        "falsch",
        "faux",
        "falso",
        "onwaar",
        "epätosi",
        "fałsz",
        "nepravda",
        "ósatt",
        "no",
        "n",
        "nei",
        "nein",
        "nej",
        "non",
        "nee",
        "ei",
        "nie",
        "ne",
        "0",
        "0.0",
        "off",
        "f",
        "disabled",
        "inactive",
        "inaktiv",
        "deaktivert",
    ]
)

#: First words of a line that adds the others up.
_TOTALS: Final = frozenset(
    [
        "sum",
        "summa",
        "summe",
        "sums",
        "total",
        "totals",
        "totalt",
        "totaal",
        "totale",
        "totalsum",
        "totalsumme",
        "subtotal",
        "grandtotal",
        "delsum",
        "gesamt",
        "gesamtsumme",
        "somme",
        "ialt",
        "iallt",
        "yhteensä",
        "suma",
        "razem",
    ]
)


#: More statuses than these are not read out.
_LISTED_MAX: Final = 12


def bare(cell: str) -> str:
    """The cell without stray spaces and without what spreadsheets put around text: `="0012"`, `'0012`."""
    if not cell or (cell[0].isalnum() and cell[-1].isalnum()):
        return cell
    text = cell.strip(SPACES + "\r\n")
    if text.startswith('="') and text.endswith('"') and len(text) >= 3:
        text = text[2:-1].strip(SPACES)
    elif text.startswith("'"):
        text = text[1:].strip(SPACES)
    return text


def is_total(cell: str) -> bool:
    """Whether the cell says that its line adds the others up: `Sum`, `I alt:`, `Grand total`."""
    text = bare(cell)
    if text[:1].isdigit():
        return False  # A number, as in nearly every row.
    text = text.lower().rstrip(" :.=")
    first = text.split(" ", 1)[0].rstrip(":")
    return text.replace(" ", "") in _TOTALS or (first in _TOTALS and not any(c.isdigit() for c in text))


def flag(cell: str, default: bool | None = None) -> bool:
    """True or false, in the words that exports and spreadsheets use."""
    text = bare(cell).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if not text and default is not None:
        return default
    raise CellError("neither true nor false")


def status(cell: str, known: Mapping[str, CardStatus], default: CardStatus | None) -> CardStatus:
    """The hub's status for the file's word. `known` has lower-case words."""
    text = bare(cell).lower()
    if not text and default is not None:
        return default
    found = known.get(text)
    if found is None:
        if len(known) <= _LISTED_MAX:
            raise CellError(f"the status is not one of {', '.join(sorted(known))}")
        raise CellError(
            "the status is not one of the words that are known; a mapping file says what it means "
            "(`giftsync import layout FILE` lists all words of the column)"
        )
    return found
