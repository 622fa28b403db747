"""The statement: everything that is told of a period, as one document that can be signed (pure).

The same document is a draft (without a number) and a month's close. All exports are made from it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mappings.money import currency_exponent
from mappings.sentences import marked
from sync.books.ageing import Band, Breakage, bands_of
from sync.books.entries import LABELS, Line
from sync.books.journal import Accounts, JournalLine, journal
from sync.books.lots import Rules
from sync.books.periods import Period
from sync.books.rollforward import Books, CurrencyBook, Group
from sync.books.settlement import Pair, StoreStatement, pairs_of, places_of

FORMAT = "giftsync-statement/1"
#: Late entries that a statement lists one by one; the totals count them all.
LATE_LISTED_MAX = 1_000
END_DEBT, STAY_OWED = "end_debt", "stay_owed"
VAT_WORDS = {
    "multi_purpose": marked("multi-purpose vouchers: VAT is due when a card is redeemed"),
    "single_purpose": marked("single-purpose vouchers: VAT was due when a card was issued"),
}


@dataclass(frozen=True)
class SideInfo:
    """A side of the link."""

    name: str
    identity: str
    currency: str


@dataclass(frozen=True)
class GroupPart:
    """The roll-forward of one kind of card. Amounts in minor units, signed."""

    brand: str
    channel: str
    #: With something on them at the end.
    cards: int
    opening_minor: int
    #: By line, every line.
    lines: dict[str, int]
    #: How many entries each line has.
    counts: dict[str, int]
    closing_minor: int


@dataclass(frozen=True)
class MatrixCell:
    """Value put on cards at one place and redeemed at another."""

    issued: str
    redeemed: str
    amount_minor: int


@dataclass(frozen=True)
class CurrencyPart:
    """All that is told in one currency."""

    currency: str
    #: Decimals of the minor unit.
    exponent: int
    groups: tuple[GroupPart, ...]
    total: GroupPart
    by_use: tuple[Band, ...]
    by_issue: tuple[Band, ...]
    breakage: Breakage | None
    #: On cards whose last day has passed: of the closing balance if that stays owed, else beside it.
    #: On cards that wait for a decision: of the closing balance.
    expired_minor: int
    held_minor: int
    #: Taken from a card and not yet given to the one that replaces it; owed, and on no card.
    in_transit_minor: int
    discounts_minor: int
    matrix: tuple[MatrixCell, ...]
    pairs: tuple[Pair, ...]
    places: tuple[StoreStatement, ...]
    journal: tuple[JournalLine, ...]
    #: Opening by group less the closing of the statement before, where a card's kind has changed since.
    regrouped: dict[str, int]
    late_count: int
    late_minor: int


@dataclass(frozen=True)
class LatePart:
    """An amount booked in this period that belongs to an earlier one: a dated correction."""

    belongs_to: datetime
    booked_at: datetime
    line: str
    amount_minor: int
    currency: str
    card_id: int
    movement_id: int
    receipt: str


@dataclass(frozen=True)
class Previous:
    """The statement before this one."""

    number: int
    period: str
    sha256: str


@dataclass(frozen=True)
class LedgerPart:
    """What the statement was made from."""

    #: SHA-256 over the chain hashes of every movement booked up to the end, in the order they were written.
    chain_sha256: str
    movements: int
    #: The highest movement that the ledger had; what came later belongs to a later statement.
    last_movement: int
    #: SHA-256 over what the statement takes as expired and gives back, by card; empty: nothing was kept.
    expiries_sha256: str = ""
    #: SHA-256 over the changes of expiry dates that the ledger had, and the highest of them; empty and 0:
    #: there were none, or the statement is a draft or of a release that did not keep it.
    changes_sha256: str = ""
    last_change: int = 0


@dataclass(frozen=True)
class RulesPart:
    """Settings that shaped the statement."""

    vat: str
    write_offs_borne_by: str
    discounts_borne_by: str
    breakage_months: int
    accounts: Accounts
    redemptions: str = marked("first in, first out: the value that was put on a card first is used first")
    #: `end_debt`, or `stay_owed` until they are closed.
    expired_cards: str = "stay_owed"


@dataclass(frozen=True)
class Statement:
    """One period of one link."""

    format: str
    #: None: a draft, which anybody can make at any time.
    number: int | None
    period: str
    from_at: datetime
    until_at: datetime
    timezone: str
    made_at: datetime
    sides: tuple[SideInfo, ...]
    rules: RulesPart
    currencies: tuple[CurrencyPart, ...]
    late: tuple[LatePart, ...]
    ledger: LedgerPart
    previous: Previous | None


@dataclass(frozen=True)
class Frame:
    """What a statement says beside the sums."""

    period: Period
    timezone: str
    made_at: datetime
    sides: tuple[SideInfo, ...]
    rules: RulesPart
    ledger: LedgerPart
    #: By currency.
    in_transit_minor: dict[str, int]
    number: int | None = None
    previous: Previous | None = None
    #: The last statement's closing balances, by currency, then brand and channel.
    closings: dict[str, dict[str, int]] | None = None


def make_statement(books: Books, frame: Frame) -> Statement:
    """Put the sums into the document, everything in a fixed order."""
    parts = tuple(_currency(books.currencies[code], books, frame) for code in sorted(books.currencies))
    late = sorted(books.late, key=lambda one: (one.belongs_to, one.entry.movement_id, one.entry.line))
    return Statement(
        FORMAT,
        frame.number,
        frame.period.name,
        _utc(frame.period.from_at),
        _utc(frame.period.until_at),
        frame.timezone,
        _utc(frame.made_at),
        frame.sides,
        frame.rules,
        parts,
        tuple(
            LatePart(
                _utc(one.belongs_to),
                _utc(one.entry.booked_at),
                one.entry.line.value,
                one.entry.amount_minor,
                one.currency,
                one.entry.card_id,
                one.entry.movement_id,
                one.entry.receipt,
            )
            for one in late[:LATE_LISTED_MAX]
        ),
        frame.ledger,
        frame.previous,
    )


def _currency(book: CurrencyBook, books: Books, frame: Frame) -> CurrencyPart:
    groups = tuple(_group(book.groups[key]) for key in sorted(book.groups))
    total = total_of(groups)
    sums = {Line(name): amount for name, amount in total.lines.items()}
    late = [one.entry.amount_minor for one in books.late if one.currency == book.currency]
    matrix = {(a.label, b.label): amount for (a, b), amount in book.settlement.matrix.items()}
    return CurrencyPart(
        book.currency,
        currency_exponent(book.currency),
        groups,
        total,
        bands_of(book.by_use),
        bands_of(book.by_issue),
        book.breakage(frame.rules.breakage_months),
        book.expired_minor,
        book.held_minor,
        frame.in_transit_minor.get(book.currency, 0),
        book.discounts_minor,
        tuple(MatrixCell(*pair, matrix[pair]) for pair in sorted(matrix)),
        tuple(pairs_of(matrix)),
        tuple(places_of(matrix)),
        tuple(journal(sums, frame.rules.accounts, frame.period.name)),
        _regrouped(groups, (frame.closings or {}).get(book.currency), frame.closings is not None),
        len(late),
        sum(late),
    )


def group_name(group: GroupPart) -> str:
    """As statements print it: `Gavekort, till-1`."""
    return f"{group.brand or 'no brand'}, {group.channel or 'giftsync'}"


def _group(group: Group) -> GroupPart:
    return GroupPart(
        group.key.brand,
        group.key.channel,
        group.cards,
        group.opening_minor,
        {line.value: group.lines[line] for line in Line},
        {line.value: group.counts[line] for line in Line},
        group.closing_minor,
    )


def total_of(groups: tuple[GroupPart, ...]) -> GroupPart:
    """All kinds of cards together."""
    return GroupPart(
        "",
        "",
        sum(g.cards for g in groups),
        sum(g.opening_minor for g in groups),
        {line.value: sum(g.lines[line.value] for g in groups) for line in Line},
        {line.value: sum(g.counts[line.value] for g in groups) for line in Line},
        sum(g.closing_minor for g in groups),
    )


def _regrouped(groups: tuple[GroupPart, ...], before: dict[str, int] | None, has_one: bool) -> dict[str, int]:
    """A card whose brand became known moves its balance from one group to another; zero in sum."""
    if not has_one:
        return {}
    closed = dict(before or {})
    moved = {group_name(g): g.opening_minor - closed.pop(group_name(g), 0) for g in groups}
    moved |= {name: -amount for name, amount in closed.items()}
    return {name: amount for name, amount in sorted(moved.items()) if amount}


def closings_of(statement: Statement) -> dict[str, dict[str, int]]:
    """Closing balances by currency and group, for the opening of the next statement."""
    return {
        part.currency: {group_name(g): g.closing_minor for g in part.groups} for part in statement.currencies
    }


def rules_part(
    rules: Rules, vat: str, breakage_months: int, accounts: Accounts, *, expiry_ends_debt: bool
) -> RulesPart:
    said = RulesPart(vat, rules.write_offs.value, rules.discounts.value, breakage_months, accounts)
    return replace(said, expired_cards=END_DEBT if expiry_ends_debt else STAY_OWED)


def label(line: str) -> str:
    return LABELS[Line(line)]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def faults(statement: Statement) -> list[str]:
    """What in the document does not add up, in words; empty when all of it does."""
    found: list[str] = []
    for part in statement.currencies:
        named = [(group_name(g), g) for g in part.groups] + [("the total", part.total)]
        for name, group in named:
            come_to = group.opening_minor + sum(group.lines.values())
            if come_to != group.closing_minor:
                found.append(
                    f"{part.currency}, {name}: opening and lines come to {come_to}, and the closing says "
                    f"{group.closing_minor} (minor units)"
                )
        if total_of(part.groups) != part.total:
            found.append(f"{part.currency}: the groups do not come to the total")
        for what, bands in (("last use", part.by_use), ("issue", part.by_issue)):
            if sum(b.closing_minor for b in bands) != part.total.closing_minor:
                found.append(f"{part.currency}: the ageing by {what} does not come to the closing balance")
        if sum(p.position_minor for p in part.places):
            found.append(f"{part.currency}: the stores' positions do not come to zero")
        if sum(line.debit_minor - line.credit_minor for line in part.journal):
            found.append(f"{part.currency}: debits and credits of the journal differ")
        cells = {(c.issued, c.redeemed): c.amount_minor for c in part.matrix}
        if tuple(pairs_of(cells)) != part.pairs or tuple(places_of(cells)) != part.places:
            found.append(f"{part.currency}: pairs and stores do not follow from what was redeemed where")
    return found


def as_document(statement: Statement) -> dict[str, Any]:
    """The statement as plain values, in the order of its fields."""
    document: dict[str, Any] = _plain(statement)
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
