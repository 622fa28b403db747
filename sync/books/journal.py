"""Journal lines for bookkeeping: each line of the roll-forward against one of the merchant's accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.books.entries import LABELS, Line


@dataclass(frozen=True)
class Accounts:
    """Account codes, as the merchant's chart or SAF-T has them."""

    liability: str
    taken_over: str
    issued: str
    refunded: str
    redeemed: str
    breakage: str
    write_off: str
    adjusted: str

    def against(self, line: Line) -> str:
        """The account on the other side of the liability; a transfer stays within it."""
        return {
            Line.TAKEN_OVER: self.taken_over,
            Line.ISSUED: self.issued,
            Line.LOADED: self.issued,
            Line.REFUNDED: self.refunded,
            Line.REDEEMED: self.redeemed,
            Line.EXPIRED: self.breakage,
            Line.CLOSED: self.breakage,
            Line.WRITTEN_OFF: self.write_off,
            Line.TRANSFERRED: self.liability,
            Line.ADJUSTED: self.adjusted,
        }[line]


@dataclass(frozen=True)
class JournalLine:
    """One side of a posting; one of the two amounts is zero, neither is negative."""

    account: str
    text: str
    debit_minor: int
    credit_minor: int


def journal(lines: Mapping[Line, int], accounts: Accounts, period: str) -> list[JournalLine]:
    """Two lines for each amount; debits and credits come to the same.

    Value on its way between two cards at the end of a period stays on the liability's account.
    """
    made = []
    for line in Line:
        amount = lines.get(line, 0)
        against = accounts.against(line)
        if not amount or against == accounts.liability:
            continue
        text = f"Gift cards {period}: {LABELS[line].lower()}"
        debit, credit = (against, accounts.liability) if amount > 0 else (accounts.liability, against)
        made += [JournalLine(debit, text, abs(amount), 0), JournalLine(credit, text, 0, abs(amount))]
    return made
