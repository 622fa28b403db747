"""The proof: what the people say they did must be what is on the cards, to the minor unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table
from sqlalchemy import Engine

from cli.demo.tally import Entry, Tally
from cli.demo.truth import Truth
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
    #: Positive: spent twice, before either side could know. And in how many conflicts it is reported.
    written_off_minor: int
    overdrafts: int
    cards: int
    different: int
    flow_minor: int
    shopify_minor: int

    @property
    def expected_minor(self) -> int:
        return sum(self.account_minor.values()) + self.written_off_minor

    @property
    def holds(self) -> bool:
        """Every card is the same on both sides, and both sides hold what the account says."""
        return self.different == 0 and self.flow_minor == self.shopify_minor == self.expected_minor


def prove(truth: Truth, tally: Tally, engine: Engine, currency: str) -> Proof:
    """Weigh the people's account against the truth; from the ledger only what it wrote off."""
    written_off, overdrafts = _written_off(engine)
    return Proof(
        currency=currency,
        account_minor={entry: entry.sign * tally.minor(entry) for entry in Entry},
        counts={entry: tally.count(entry) for entry in Entry},
        written_off_minor=written_off,
        overdrafts=overdrafts,
        cards=len(truth.pairs),
        different=len(truth.pairs) - truth.agreeing,
        flow_minor=truth.flow_minor,
        shopify_minor=truth.shopify_minor,
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
        (entry.capitalize(), proof.counts[entry], money(minor))
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
            ("Is on the cards in the store (Flow)", "", money(proof.flow_minor)),
            ("Is on the cards online (Shopify)", "", money(proof.shopify_minor)),
            ("Difference", "", money(_difference(proof))),
            ("Cards compared", proof.cards, ""),
            ("Cards that differ", proof.different, ""),
        ],
    )


def _difference(proof: Proof) -> int:
    """The larger of both sides' differences."""
    differences = (proof.flow_minor - proof.expected_minor, proof.shopify_minor - proof.expected_minor)
    return max(differences, key=abs)


def proof_json(proof: Proof) -> dict[str, object]:
    """Amounts as decimal strings."""

    def text(minor: int) -> str:
        return decimal_from_minor(minor, proof.currency)

    return {
        "holds": proof.holds,
        "currency": proof.currency,
        "account": {
            entry.replace(" ", "_"): {"times": proof.counts[entry], "amount": text(minor)}
            for entry, minor in proof.account_minor.items()
        },
        "written_off": {"times": proof.overdrafts, "amount": text(proof.written_off_minor)},
        "expected": text(proof.expected_minor),
        "flow": text(proof.flow_minor),
        "shopify": text(proof.shopify_minor),
        "difference": text(_difference(proof)),
        "cards": proof.cards,
        "different": proof.different,
    }
