"""A statement as tables: the one source of what the terminal, CSV, spreadsheet and PDF show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mappings.readers import ENGLISH, Reader
from mappings.sentences import Money, Sentence, marked, say
from sync.books.entries import Line
from sync.books.statement import (
    END_DEBT,
    LATE_LISTED_MAX,
    VAT_WORDS,
    CurrencyPart,
    GroupPart,
    Statement,
    group_name,
    label,
)

#: More kinds of cards than this are told in rows of their own where a page is narrow.
GROUPS_ABREAST_MAX = 4
ESTIMATE = marked("ESTIMATE, not booked")
EXPIRED_WORDS = {
    "end_debt": marked("owed no longer once their last day has passed"),
    "stay_owed": marked("owed until they are closed, also after their last day"),
}
BORNE_BY = {
    "head_office": marked("borne by the head office"),
    "issuing": marked("borne by the store that issued the value"),
    "redeeming": marked("borne by the store that redeems it"),
}
_JOURNAL_LINE = re.compile(r"Gift cards (\S+): (.+)")
_NO_BRAND = "no brand, "


class Kind(StrEnum):
    """What stands in a column."""

    TEXT = "text"
    MONEY = "money"
    #: An amount that stands in one of two columns: zero is left blank.
    POSTED = "posted"
    COUNT = "count"
    #: Digits that are typed elsewhere, so they are not set apart.
    ID = "id"
    #: A day, as ISO 8601 has it.
    DATE = "date"
    #: A day and a time, in words.
    MOMENT = "moment"

    @property
    def is_money(self) -> bool:
        return self in (Kind.MONEY, Kind.POSTED)

    @property
    def is_number(self) -> bool:
        return self.is_money or self is Kind.COUNT

    @property
    def is_time(self) -> bool:
        return self in (Kind.DATE, Kind.MOMENT)


@dataclass(frozen=True)
class Column:
    title: str
    kind: Kind = Kind.TEXT


#: Text, a count, or an amount in minor units.
Cell = str | int


@dataclass(frozen=True)
class Table:
    """One table. Amounts are integers in minor units of `currency`."""

    #: Names the CSV file and the sheet, such as `rollforward-NOK`.
    name: str
    title: str
    currency: str
    exponent: int
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    #: The last row is the sum of the rows above it.
    sums_down: bool = False
    #: The last column is the sum of the amounts before it.
    sums_across: bool = False
    note: str = ""


def headline(statement: Statement, reader: Reader = ENGLISH) -> list[str]:
    """What is owed, one sentence for each currency."""
    told = []
    for part in statement.currencies:
        values = {
            "money": Money(part.total.closing_minor, part.currency),
            "count": reader.figure(part.total.cards, 0),
        }
        one = say("{money} are owed on {count} card.", **values)
        told.append(one if part.total.cards == 1 else say("{money} are owed on {count} cards.", **values))
    return [reader.said(one) for one in told or [say("Nothing is owed: there are no cards.")]]


def title(statement: Statement, reader: Reader = ENGLISH) -> str:
    period, number = statement.period, statement.number
    if number is None:
        return reader.said(say("Gift cards, {period}: draft", period=period))
    return reader.said(say("Gift cards, {period}: statement {number}", period=period, number=number))


def facts(statement: Statement, reader: Reader = ENGLISH) -> list[tuple[str, str]]:
    """What the statement is of, and under which rules it was made."""
    zone = ZoneInfo(statement.timezone)
    rules = statement.rules
    last = statement.until_at
    period = say("{since} up to {until}", since=_when(statement.from_at, zone), until=_when(last, zone))
    ledger = say(
        "{count} movements, chain {chain}…",
        count=reader.figure(statement.ledger.movements, 0),
        chain=statement.ledger.chain_sha256[:16],
    )
    told = [
        (marked("Period"), period),
        (marked("Made"), _when(statement.made_at, zone)),
        *((say("Side {name}", name=one.name), f"{one.identity}, {one.currency}") for one in statement.sides),
        (marked("VAT"), VAT_WORDS.get(rules.vat, rules.vat)),
        (marked("Redemptions"), rules.redemptions),
        (marked("Expired cards"), EXPIRED_WORDS.get(rules.expired_cards, rules.expired_cards)),
        (marked("Write-offs"), BORNE_BY.get(rules.write_offs_borne_by, rules.write_offs_borne_by)),
        (marked("Discounts"), BORNE_BY.get(rules.discounts_borne_by, rules.discounts_borne_by)),
        (marked("Ledger"), ledger),
    ]
    if statement.previous is not None:
        before = statement.previous
        words = say(
            "statement {number} of {period}, {digest}…",
            number=before.number,
            period=before.period,
            digest=before.sha256[:16],
        )
        told.append((marked("Continues"), words))
    return [(reader.said(name), reader.said(value)) for name, value in told]


def tables_of(statement: Statement, *, narrow: bool) -> list[Table]:
    """Every table, in the order in which an accountant reads them."""
    made: list[Table] = []
    for part in statement.currencies:
        made.append(_rollforward(part, narrow=narrow))
        if narrow and len(part.groups) > GROUPS_ABREAST_MAX:
            made.append(_groups(part))
        made.append(_memo(part, statement.rules.expired_cards))
        made += [_ageing(part, "use"), _ageing(part, "issue")]
        if part.breakage is not None:
            made.append(_breakage(part))
        if part.regrouped:
            made.append(_regrouped(part))
        made += [_pairs(part), _places(part), _matrix(part), _journal(part, statement, narrow=narrow)]
    made += [_late(part, statement) for part in statement.currencies if part.late_count]
    return made


def spoken(table: Table, reader: Reader) -> Table:
    """The table in the reader's language. Names of stores and brands stay as they are."""
    return replace(
        table,
        title=spoken_label(table.title, reader),
        columns=[replace(one, title=spoken_label(one.title, reader)) for one in table.columns],
        rows=[
            [spoken_label(cell, reader) if isinstance(cell, str) else cell for cell in row]
            for row in table.rows
        ],
        note=spoken_label(table.note, reader),
    )


def spoken_label(label: str, reader: Reader) -> str:
    """A title or a label, which statements keep in English."""
    journal, kind = _JOURNAL_LINE.fullmatch(label), label.removeprefix(_NO_BRAND)
    if journal is not None:
        line = reader.said(journal[2].capitalize()).lower()
        return reader.said(say("Gift cards {period}: {line}", period=journal[1], line=line))
    if kind != label:
        return reader.said(say("no brand, {channel}", channel=kind))
    return reader.said(label)


def shown(table: Table, column: int, cell: Cell, reader: Reader = ENGLISH) -> str:
    """A cell as pages and terminals print it."""
    kind = table.columns[column].kind
    if isinstance(cell, str):
        return cell
    if kind is Kind.POSTED and not cell:
        return ""
    if kind is Kind.ID:
        return str(cell)
    return reader.figure(cell, table.exponent if kind.is_money else 0)


def _table(
    part: CurrencyPart,
    name: str,
    words: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    sums_down: bool = False,
    sums_across: bool = False,
    note: str = "",
) -> Table:
    titled = say(
        "{what}, {currency}",
        what=words if isinstance(words, Sentence) else say(words),
        currency=part.currency,
    )
    named = f"{name}-{part.currency}", titled
    return Table(*named, part.currency, part.exponent, columns, rows, sums_down, sums_across, note)


def _money(*titles: str) -> list[Column]:
    return [Column(one, Kind.MONEY) for one in titles]


def _rollforward(part: CurrencyPart, *, narrow: bool) -> Table:
    abreast = [] if narrow and len(part.groups) > GROUPS_ABREAST_MAX else list(part.groups)
    groups: list[GroupPart] = [*abreast, part.total] if len(abreast) != 1 else [part.total]
    names = [group_name(g) for g in abreast] if len(abreast) > 1 else []
    rows: list[list[Cell]] = [[marked("Opening"), *(g.opening_minor for g in groups)]]
    rows += [[label(line), *(g.lines[line] for g in groups)] for line in Line]
    rows.append([marked("Closing"), *(g.closing_minor for g in groups)])
    columns = [Column(""), *_money(*names, marked("Total"))]
    return _table(
        part,
        "rollforward",
        marked("Roll-forward"),
        columns,
        rows,
        sums_down=True,
        sums_across=len(groups) > 1,
        note=say(
            "Late news of earlier days among these entries: {count}. They are listed below.",
            count=part.late_count,
        )
        if part.late_count
        else "",
    )


def _groups(part: CurrencyPart) -> Table:
    rows: list[list[Cell]] = []
    for group in (*part.groups, part.total):
        came = sum(amount for amount in group.lines.values() if amount > 0)
        went = sum(amount for amount in group.lines.values() if amount < 0)
        name = marked("Total") if group is part.total else group_name(group)
        rows.append([name, group.cards, group.opening_minor, came, went, group.closing_minor])
    # Lines with both signs in different groups leave the total's own columns to be added up anew.
    rows[-1][3:5] = [sum(int(row[n]) for row in rows[:-1]) for n in (3, 4)]
    columns = [
        Column(marked("Kind of card")),
        Column(marked("Cards"), Kind.COUNT),
        *_money(marked("Opening"), marked("More"), marked("Less"), marked("Closing")),
    ]
    return _table(part, "groups", marked("By kind of card"), columns, rows, sums_down=True)


def _memo(part: CurrencyPart, expired_cards: str) -> Table:
    expired = marked("Of the closing: on cards whose last day has passed")
    if expired_cards == END_DEBT:
        expired = marked("Beside it: expired, and still shown by the sides")
    rows: list[list[Cell]] = [
        [expired, part.expired_minor],
        [marked("Of the closing: on cards that wait for a decision"), part.held_minor],
        [marked("Beside it: on its way from one card to another"), part.in_transit_minor],
        [marked("Put on cards beyond what was paid for them (discounts)"), part.discounts_minor],
    ]
    return _table(
        part, "notes", marked("Notes to the closing"), [Column(""), *_money(marked("Amount"))], rows
    )


def _ageing(part: CurrencyPart, by: str) -> Table:
    bands = part.by_use if by == "use" else part.by_issue
    words = marked("Age since last use") if by == "use" else marked("Age since issue")
    rows: list[list[Cell]] = [[b.name, b.cards, b.closing_minor] for b in bands]
    rows.append([marked("Total"), sum(b.cards for b in bands), sum(b.closing_minor for b in bands)])
    columns = [Column(words), Column(marked("Cards"), Kind.COUNT), *_money(marked("Owed"))]
    return _table(part, f"age-{by}", words, columns, rows, sums_down=True)


def _breakage(part: CurrencyPart) -> Table:
    found = part.breakage
    if found is None:
        raise ValueError("there is no estimate to show")
    rows: list[list[Cell]] = [
        [
            say("Put on cards issued over {months} months ago", months=found.months),
            found.old_put_on_minor,
        ],
        [
            say("Still on them ({share} %)", share=f"{found.rate_per_mille / 10:.1f}"),
            found.old_left_minor,
        ],
        [marked("Put on younger cards"), found.young_put_on_minor],
        [marked("Still on them"), found.young_left_minor],
        [marked("Of the closing, probably never used"), found.estimate_minor],
    ]
    note = marked(
        "The share that stays on old cards is expected to stay on younger ones. It changes nothing above."
    )
    columns = [Column(ESTIMATE), *_money(marked("Amount"))]
    return _table(
        part,
        "breakage-estimate",
        say("Breakage ({estimate})", estimate=say(ESTIMATE)),
        columns,
        rows,
        note=note,
    )


def _regrouped(part: CurrencyPart) -> Table:
    rows: list[list[Cell]] = [[name, amount] for name, amount in part.regrouped.items()]
    rows.append([marked("Total"), sum(part.regrouped.values())])
    note = marked(
        "Opening balances of cards whose brand has become known, or was changed, since the last statement."
    )
    columns = [Column(marked("Kind of card")), *_money(marked("Moved in"))]
    return _table(part, "regrouped", marked("Moved between kinds"), columns, rows, sums_down=True, note=note)


def _pairs(part: CurrencyPart) -> Table:
    rows: list[list[Cell]] = [
        [p.debtor, p.creditor, p.redeemed_minor, p.returned_minor, p.net_minor] for p in part.pairs
    ]
    columns = [
        Column(marked("Pays")),
        Column(marked("Is paid")),
        *_money(marked("Redeemed for it"), marked("Set against"), marked("To pay")),
    ]
    return _table(
        part,
        "settlement",
        marked("Settlement between stores"),
        columns,
        rows,
        note="" if rows else marked("Every card was redeemed where its value was sold: nobody owes anybody."),
    )


def _places(part: CurrencyPart) -> Table:
    rows: list[list[Cell]] = [
        [p.place, p.own_minor, p.for_others_minor, -p.by_others_minor, p.position_minor] for p in part.places
    ]
    totals = [sum(int(row[n]) for row in rows) for n in range(1, 5)]
    rows.append([marked("Total"), *totals])
    columns = [
        Column(marked("Store")),
        *_money(
            marked("Own value redeemed"),
            marked("Redeemed for others"),
            marked("Redeemed by others"),
            marked("Position"),
        ),
    ]
    note = marked("A positive position is to be received, a negative one to be paid. Together they are zero.")
    return _table(part, "stores", marked("Statement of each store"), columns, rows, sums_down=True, note=note)


def _matrix(part: CurrencyPart) -> Table:
    rows: list[list[Cell]] = [[c.issued, c.redeemed, c.amount_minor] for c in part.matrix]
    rows.append([marked("Total"), "", sum(c.amount_minor for c in part.matrix)])
    columns = [Column(marked("Value sold in")), Column(marked("Redeemed in")), *_money(marked("Amount"))]
    return _table(part, "redeemed", marked("Sold where, redeemed where"), columns, rows, sums_down=True)


def _journal(part: CurrencyPart, statement: Statement, *, narrow: bool) -> Table:
    """What is imported elsewhere names day, voucher and currency; where pages are narrow their title does."""
    ends = statement.until_at - timedelta(microseconds=1)
    voucher = "" if statement.number is None else str(statement.number)
    before: list[Cell] = (
        [] if narrow else [f"{ends.astimezone(ZoneInfo(statement.timezone)):%Y-%m-%d}", voucher]
    )
    # Last, so that whoever imports by place finds the others where they were.
    after: list[Cell] = [] if narrow else [part.currency]
    rows: list[list[Cell]] = [
        [*before, j.account, j.text, j.debit_minor, j.credit_minor, *after] for j in part.journal
    ]
    debit, credit = sum(j.debit_minor for j in part.journal), sum(j.credit_minor for j in part.journal)
    rows.append([marked("Total"), *("" for _ in before), "", debit, credit, *after])
    columns = [] if narrow else [Column(marked("Date"), Kind.DATE), Column(marked("Statement"))]
    columns += [Column(marked("Account")), Column(marked("Text"))]
    columns += [Column(marked("Debit"), Kind.POSTED), Column(marked("Credit"), Kind.POSTED)]
    columns += [] if narrow else [Column(marked("Currency"))]
    return _table(part, "journal", marked("Journal lines"), columns, rows, sums_down=True)


def _late(part: CurrencyPart, statement: Statement) -> Table:
    """With a total where all are listed."""
    zone = ZoneInfo(statement.timezone)
    listed = [one for one in statement.late if one.currency == part.currency]
    rows: list[list[Cell]] = [
        [
            _when(one.belongs_to, zone),
            _when(one.booked_at, zone),
            label(one.line),
            one.card_id,
            one.movement_id or "",
            one.receipt,
            one.amount_minor,
        ]
        for one in listed
    ]
    more = part.late_count - len(rows)
    if not more:
        rows.append([marked("Total"), "", "", "", "", "", part.late_minor])
    columns = [
        Column(marked("Belongs to"), Kind.MOMENT),
        Column(marked("Booked"), Kind.MOMENT),
        Column(marked("Line")),
        Column(marked("Card"), Kind.ID),
        Column(marked("Movement"), Kind.ID),
        Column(marked("Receipt")),
        *_money(marked("Amount")),
    ]
    note = (
        say(
            "{more} more: a statement lists {most}; `giftsync books entries` has all.",
            more=more,
            most=LATE_LISTED_MAX,
        )
        if more
        else ""
    )
    words = marked("Late news: corrections of earlier periods, booked in this one")
    return _table(part, "late", words, columns, rows, sums_down=not more, note=note)


def _when(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")
