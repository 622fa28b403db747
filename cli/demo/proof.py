"""The proof: what the people say they did must be what is on the cards, to the minor unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from rich.table import Table
from sqlalchemy import Engine

from cli.demo.tally import Entry, Tally
from cli.demo.truth import Truth
from cli.demo.venue import Venue
from cli.emulators import SIDES_DEFAULT
from cli.output import rows, table
from mappings.money import decimal_from_minor, format_money
from sync.ledger.views import list_conflicts, list_movements
from sync.model import ConflictKind, MovementKind


@dataclass(frozen=True)
class Proof:
    """Everything that the verdict rests on. Amounts in minor units."""

    currency: str
    #: Signed, by line of the account, and how often it happened.
    account_minor: Mapping[Entry, int]
    counts: Mapping[Entry, int]
    #: Positive: spent twice, before another side could know. And in how many conflicts it is reported.
    written_off_minor: int
    overdrafts: int
    cards: int
    different: int
    #: What is on the cards, by side.
    on_sides: Mapping[str, int]
    #: Where that is, in words, by side.
    where: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected_minor(self) -> int:
        return sum(self.account_minor.values()) + self.written_off_minor

    @property
    def holds(self) -> bool:
        """Every card is the same on every side, and every side holds what the account says."""
        return self.different == 0 and set(self.on_sides.values()) == {self.expected_minor}


def prove(truth: Truth, tally: Tally, engine: Engine, currency: str, venues: Sequence[Venue] = ()) -> Proof:
    """Weigh the people's account against the truth; from the ledger only what it wrote off."""
    written_off, overdrafts = _written_off(engine)
    return Proof(
        currency=currency,
        account_minor={one: one.sign * tally.minor(one) for one in tally.entries},
        counts={one: tally.count(one) for one in tally.entries},
        written_off_minor=written_off,
        overdrafts=overdrafts,
        cards=len(truth.groups),
        different=len(truth.groups) - truth.agreeing,
        on_sides=truth.totals_minor,
        where={venue.side: venue.where for venue in venues},
    )


def _written_off(engine: Engine) -> tuple[int, int]:
    """The sum of all write-offs, and the number of overdraft conflicts that report them."""
    conflicts = [
        one for one in list_conflicts(engine, include_closed=True) if one.kind == ConflictKind.OVERDRAFT
    ]
    cards = {one.card_id for one in conflicts if one.card_id is not None}
    movements = (movement for card_id in cards for movement in list_movements(engine, card_id))
    return sum(m.amount_minor for m in movements if m.kind == MovementKind.WRITE_OFF), len(conflicts)


def proof_table(proof: Proof) -> Table:
    made = table("The account", "Times", "Amount", right=["Times", "Amount"])

    def money(minor: int) -> str:
        return format_money(minor, proof.currency)

    lines: list[tuple[str, object, str]] = [
        (_capital(entry.words), proof.counts[entry], money(minor))
        for entry, minor in proof.account_minor.items()
    ]
    lines += [
        ("Written off: spent twice within the lag", proof.overdrafts, money(proof.written_off_minor)),
        ("= must be on the cards", "", money(proof.expected_minor)),
    ]
    rows(made, lines)
    made.add_section()
    return rows(
        made,
        [
            *(
                (f"Is on the cards {proof.where.get(side, side)}", "", money(minor))
                for side, minor in proof.on_sides.items()
            ),
            ("Difference", "", money(_difference(proof))),
            ("Cards compared", proof.cards, ""),
            ("Cards that differ", proof.different, ""),
        ],
    )


def _difference(proof: Proof) -> int:
    """The largest of the sides' differences."""
    return max((on_side - proof.expected_minor for on_side in proof.on_sides.values()), key=abs)


def _key(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", words.lower())


def _capital(words: str) -> str:
    """With a capital letter first; names keep theirs."""
    return words[:1].upper() + words[1:]


class AccountEntryAnswer(TypedDict):
    """One line of the account."""

    times: int
    #: A decimal string.
    amount: str


class ProofAnswer(TypedDict):
    """The people's account against every side. Amounts are decimal strings."""

    holds: bool
    currency: str
    #: What people did, by kind.
    account: dict[str, AccountEntryAnswer]
    written_off: AccountEntryAnswer
    #: What each side must show.
    expected: str
    #: What each side shows, by its name.
    sides: dict[str, str]
    #: The same of the side with this name; null: there is none.
    flow: str | None
    shopify: str | None
    #: The same of the first side with another name; null: there is none.
    third: str | None
    #: The largest of the sides' differences.
    difference: str
    cards: int
    #: Cards that differ between the sides.
    different: int


def proof_json(proof: Proof) -> ProofAnswer:
    """Amounts as decimal strings."""

    def text(minor: int) -> str:
        return decimal_from_minor(minor, proof.currency)

    sides = {side: text(minor) for side, minor in proof.on_sides.items()}
    return ProofAnswer(
        holds=proof.holds,
        currency=proof.currency,
        account={
            _key(entry.words): AccountEntryAnswer(times=proof.counts[entry], amount=text(minor))
            for entry, minor in proof.account_minor.items()
        },
        written_off=AccountEntryAnswer(times=proof.overdrafts, amount=text(proof.written_off_minor)),
        expected=text(proof.expected_minor),
        sides=sides,
        flow=sides.get("flow"),
        shopify=sides.get("shopify"),
        third=next((shown for side, shown in sides.items() if side not in SIDES_DEFAULT), None),
        difference=text(_difference(proof)),
        cards=proof.cards,
        different=proof.different,
    )
