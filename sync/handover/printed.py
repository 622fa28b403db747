"""A card as it goes onto paper, and the file for whoever prints."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from mappings.money import decimal_from_minor
from mappings.serials import Serial

DIGITS_TOGETHER = 4


@dataclass(frozen=True)
class Printed:
    """A card as it is printed. Money in minor units; `qr` is what its QR code holds."""

    serial: Serial
    qr: str = field(repr=False)
    amount_minor: int
    currency: str
    title: str
    expires_on: date | None = None
    #: Printed when a card is made, and at no other time.
    cvc: str | None = field(default=None, repr=False)

    @property
    def grouped(self) -> str:
        """The number as people read it out."""
        text = self.serial.written
        if not text.isalnum():
            return text
        return " ".join(text[i : i + DIGITS_TOGETHER] for i in range(0, len(text), DIGITS_TOGETHER))


class NotPrintable(ValueError):
    """The card does not go on this paper; the message says why, and never its number."""


def printers_file(cards: Sequence[Printed]) -> str:
    """A line for each card (CSV), for a printing house; Code 128 holds `number`, the QR code `qr`."""
    out = io.StringIO(newline="")
    lines = csv.writer(out)
    lines.writerow(["title", "number", "cvc", "amount", "currency", "expires_on", "qr"])
    for card in cards:
        amount = decimal_from_minor(card.amount_minor, card.currency)
        day = "" if card.expires_on is None else card.expires_on.isoformat()
        lines.writerow([card.title, card.serial.written, card.cvc or "", amount, card.currency, day, card.qr])
    return out.getvalue()
