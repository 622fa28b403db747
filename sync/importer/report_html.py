"""The report as one HTML file that needs nothing else: no scripts, no fonts, no network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from typing import Any

from mappings.readers import ENGLISH, Reader, figure_of
from mappings.sentences import Money, Sentence, in_a_row, marked, say
from mappings.serials import mask
from sync.importer.outcomes import Outcome, RowOutcome, Sum
from sync.importer.planfile import plan_source
from sync.importer.report import Checked, ImportReport, ImportVerdict
from sync.ledger.imports.sums import Liability

#: Rejects and conflicts that the page lists; the CSV beside it has all.
ROWS_SHOWN_MAX = 500

_STYLE = """
:root { --ink:#1d2433; --soft:#667085; --line:#e4e7ec; --page:#f6f7f9; --good:#067647; --good-bg:#ecfdf3;
  --bad:#b42318; --bad-bg:#fef3f2; --open:#8a4b00; --open-bg:#fff8eb; --bar:#3b6fd8; --bar-bg:#e8eefb; }
* { box-sizing:border-box; }
body { margin:0; background:var(--page); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif; }
main { max-width:1040px; margin:0 auto; padding:40px 24px 64px; }
h1 { font-size:26px; margin:0 0 4px; letter-spacing:-.01em; }
h2 { font-size:17px; margin:36px 0 10px; }
p.sub { color:var(--soft); margin:0 0 24px; }
section, .proof { background:#fff; border:1px solid var(--line); border-radius:10px; padding:18px 20px; }
.proof { border-left:6px solid var(--good); background:var(--good-bg); }
.proof.bad { border-left-color:var(--bad); background:var(--bad-bg); }
.proof.open { border-left-color:var(--open); background:var(--open-bg); }
.proof strong { display:block; font-size:18px; color:var(--good); }
.proof.bad strong { color:var(--bad); }
.proof.open strong { color:var(--open); }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(140px,1fr)); gap:12px; margin:16px 0 0; }
.tile { background:#fff; border:1px solid var(--line); border-radius:10px; padding:14px 16px; }
.tile b { display:block; font-size:20px; white-space:nowrap; font-variant-numeric:tabular-nums; }
.tile span { color:var(--soft); font-size:13px; }
table { width:100%; border-collapse:collapse; font-variant-numeric:tabular-nums; }
th { text-align:left; font-weight:600; color:var(--soft); font-size:13px; border-bottom:1px solid var(--line);
  padding:6px 10px 6px 0; }
td { padding:7px 10px 7px 0; border-bottom:1px solid #f0f2f5; vertical-align:top; }
tr:last-child td { border-bottom:0; }
th.n, td.n { text-align:right; white-space:nowrap; }
tr.sum td { font-weight:600; border-top:1px solid var(--line); }
.bar { height:8px; border-radius:4px; background:var(--bar-bg); min-width:120px; margin-top:8px; }
td.tight { white-space:nowrap; padding-right:18px; }
.bar i { display:block; height:8px; border-radius:4px; background:var(--bar); }
.soft { color:var(--soft); }
code { font:13px ui-monospace,SFMono-Regular,Menlo,monospace; }
footer { color:var(--soft); font-size:13px; margin-top:36px; }
.wide { overflow-x:auto; }
@media (max-width:640px) { main { padding:20px 12px 40px; } section, .proof { padding:12px; }
  .bar { min-width:48px; }
  #outcomes :is(td,th):nth-child(n+5) { display:none; }
  table { font-size:13px; } th.n { white-space:normal; } td, th { padding-right:8px; }
  .tile b { font-size:18px; } h1 { font-size:22px; } }
@media print { body { background:#fff; } main { padding:0; } }
"""

#: What each outcome means, on the page.
_MEANING = {
    Outcome.MADE: marked("a card was made with the money that was planned, and its side confirmed it"),
    Outcome.ALREADY_SO: marked("both sides agree, the hub had it, or there is nothing to make now"),
    Outcome.DIFFERED: marked("in step, with another amount than planned or by another way"),
    Outcome.FELL_AWAY: marked("nothing came of it: gone, closed, excluded, or taken out of the plan"),
    Outcome.CONFLICT: marked("a person decides"),
    Outcome.REJECTED: marked("the row or the card could not be taken"),
    Outcome.NOT_YET: marked("not done, or not confirmed"),
}


@dataclass
class RowsShown:
    """The rows that the page lists, as many as it holds."""

    rejected: list[RowOutcome] = field(default_factory=list)
    waiting: list[RowOutcome] = field(default_factory=list)
    others: list[RowOutcome] = field(default_factory=list)

    def add(self, told: RowOutcome) -> None:
        lists = {
            Outcome.REJECTED: self.rejected,
            Outcome.CONFLICT: self.waiting,
            Outcome.NOT_YET: self.others,
            Outcome.DIFFERED: self.others,
        }
        fits = self.others if told.unexpected else lists.get(told.kind)
        if fits is not None and len(fits) <= ROWS_SHOWN_MAX:
            fits.append(told)


def render_html(
    report: ImportReport,
    left_out: Iterable[RowOutcome],
    waiting: Iterable[RowOutcome],
    others: Iterable[RowOutcome] = (),
    reader: Reader = ENGLISH,
) -> str:
    """The page. `left_out` are rejects, `waiting` rows that wait for a person.

    `others` are rows that differed, or fell away though they were to be done.
    """
    page, said = _Page(report, reader), reader.said
    title = escape(said(say("Gift card import {plan}", plan=report.plan.id)))
    what = escape(said(marked("Gift card import")))
    parts = [
        f"<!doctype html><html lang='{reader.language}'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{what}</h1>",
        page.subtitle(),
        page.proof(),
        page.tiles(),
        page.heading(marked("What happened to each card")),
        page.outcomes(),
        page.heading(marked("Both sides")),
        page.sides(),
        page.heading(marked("Waiting for a person")),
        page.rows(waiting, marked("Nothing waits for a person.")),
        page.heading(marked("Not as planned")),
        page.rows(others, marked("Every card that was done was done as planned.")),
        page.heading(marked("Rejected")),
        page.rows(left_out, marked("No line and no card was rejected.")),
        page.heading(marked("What is owed, by brand")),
        page.liability(report.brands, marked("Brand"), marked("no brand named")),
        page.heading(marked("What is owed, by store")),
        page.liability(report.stores, marked("Store"), marked("no store named")),
        page.footer(),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def counted(count: int) -> str:
    """`12 480`, grouped as amounts are."""
    return f"{count:,}".replace(",", " ")


def headline(report: ImportReport) -> Sentence:
    """What the import came to, in a sentence."""
    by = report.tally.by
    match report.verdict:
        case ImportVerdict.WRONG:
            return say("The sums do not agree.")
        case ImportVerdict.UNFINISHED:
            return _of_cards(
                report,
                by[Outcome.NOT_YET],
                marked("Not finished: {count} card with {money} is not made yet, or not confirmed."),
                marked("Not finished: {count} cards with {money} are not made yet, or not confirmed."),
            )
        case ImportVerdict.FELL_AWAY:
            return _of_cards(
                report,
                report.tally.unexpected,
                marked("{count} card with {money} fell away: find out why."),
                marked("{count} cards with {money} fell away: find out why."),
            )
        case ImportVerdict.CONFLICTS:
            return _of_cards(
                report,
                by[Outcome.CONFLICT],
                marked("{count} card with {money} waits for a person."),
                marked("{count} cards with {money} wait for a person."),
            )
        case ImportVerdict.NOT_READ:
            return say("All is done. The sides were not read back, so it is not proved that they show it.")
    return say("Money in is money out: the difference is 0.")


def explanation(report: ImportReport, *, in_terminal: bool = True) -> Sentence:
    """What the headline rests on, and the next step; `in_terminal`: also which command takes it."""
    currency, hub, checked = report.plan.currency, report.hub, report.checked
    opening, balance = Money(hub.opening_minor, currency), Money(hub.balance_minor, currency)
    if hub.changes_minor:
        words = [
            say(
                "The imported cards came with {opening}, moved by {changes} since, and are worth {balance} "
                "in the hub.",
                opening=opening,
                changes=Money(hub.changes_minor, currency),
                balance=balance,
            )
        ]
    else:
        words = [
            say(
                "The imported cards came with {opening} and are worth {balance} in the hub.",
                opening=opening,
                balance=balance,
            )
        ]
    if checked is None:
        words.append(
            say("The sides were not read back for this report: `giftsync import report PLAN` does it.")
            if in_terminal
            else say("The sides were not read back for this report.")
        )
    else:
        touched = {one.side for one in report.sides}
        shown = [
            say(
                "{side} shows {money} on {count} cards",
                side=name,
                money=Money(minor, currency),
                count=counted(count),
            )
            for name, (count, minor) in sorted(checked.shown.items())
            # Of a side that the import did not touch there is nothing to say.
            if count or name in touched
        ]
        words.append(
            say("Read back card by card: {what}.", what=in_a_row(shown, "; "))
            if shown
            else say("Read back card by card: no card is there yet.")
        )
        words += _differing(checked, currency, in_terminal=in_terminal)
    if report.tally.unexpected.cards:
        words.append(
            say(
                "What fell away is listed in the report under Not as planned: a number may have lost a digit."
            )
        )
    if report.left and in_terminal:
        words.append(say("Run `giftsync import apply PLAN` again: what is done stays done."))
    rejected = report.tally.by[Outcome.REJECTED]
    if rejected.cards:
        words.append(
            _of_cards(
                report,
                rejected,
                marked("{count} card with {money} was rejected: correct the rows and plan again."),
                marked("{count} cards with {money} were rejected: correct the rows and plan again."),
            )
        )
    return in_a_row(words)


def _differing(checked: Checked, currency: str, *, in_terminal: bool) -> list[Sentence]:
    words = []
    if checked.moved:
        told = {"count": counted(checked.moved), "money": Money(checked.moved_minor, currency)}
        words.append(
            say(
                "{count} show something else than the ledger expects, {money} together: customers have paid "
                "or loaded since. `giftsync sync` takes that in; then write the report again.",
                **told,
            )
            if in_terminal
            else say(
                "{count} show something else than the ledger expects, {money} together: customers have paid "
                "or loaded since. The worker takes that in; then write the report again.",
                **told,
            )
        )
    if checked.absent:
        words.append(say("{count} are not there any more.", count=counted(checked.absent)))
    if checked.unread:
        words.append(
            say(
                "{count} could not be read: write the report again when the side answers.",
                count=counted(checked.unread),
            )
        )
    if checked.busy:
        words.append(say("{count} were being worked on and are not compared.", count=counted(checked.busy)))
    if checked.discrepancies:
        words.append(
            say(
                "The ledger contradicts itself {count} times: `giftsync audit` says where.",
                count=counted(checked.discrepancies),
            )
        )
    return words


def _of_cards(report: ImportReport, one: Sum, single: str, many: str) -> Sentence:
    money = Money(one.planned_minor, report.plan.currency)
    return Sentence(single if one.cards == 1 else many, {"count": counted(one.cards), "money": money})


_TONE = {ImportVerdict.WRONG: " bad", ImportVerdict.IN_STEP: ""}


@dataclass(frozen=True)
class _Page:
    """The parts of the page, for one reader."""

    report: ImportReport
    reader: Reader

    def heading(self, words: str) -> str:
        return f"<h2>{self._text(words)}</h2>"

    def subtitle(self) -> str:
        plan = self.report.plan
        words = say(
            "Plan {plan} of {planned_at}; report of {made_at}. Amounts in {currency}.",
            plan=plan.id,
            planned_at=_when(plan.created_at),
            made_at=_when(self.report.made_at),
            currency=plan.currency,
        )
        return f"<p class='sub'>{self._text(words)}</p>"

    def footer(self) -> str:
        words = say(
            "Cards show their last four only. Customers notified about these cards: {count}. The CSV beside "
            "this file has every row.",
            count=self.report.hub.notices,
        )
        return f"<footer>{self._text(words)}</footer>"

    def proof(self) -> str:
        tone = _TONE.get(self.report.verdict, " open")
        first, then = self._text(headline(self.report)), self._text(explanation(self.report))
        return f"<div class='proof{tone}'><strong>{first}</strong>{then}</div>"

    def tiles(self) -> str:
        by = self.report.tally.by
        tiles = [
            (counted(self.report.planned.cards), marked("rows planned")),
            (counted(by[Outcome.MADE].cards + by[Outcome.DIFFERED].cards), marked("made or differed")),
            (self._bare(self.report.tally.total.made_minor), marked("put on new cards")),
            (counted(by[Outcome.CONFLICT].cards), marked("wait for a person")),
            (counted(by[Outcome.NOT_YET].cards), marked("not yet")),
            (counted(by[Outcome.REJECTED].cards), marked("rejected")),
        ]
        cells = "".join(
            f"<div class='tile'><b>{escape(value)}</b><span>{self._text(words)}</span></div>"
            for value, words in tiles
        )
        return f"<div class='tiles'>{cells}</div>"

    def sides(self) -> str:
        rows, not_read = [], self.reader.said(marked("not read"))
        for side in self.report.sides:
            before = self.report.plan.before.get(side.side, {"cards": 0, "minor": 0})
            checked = self.report.checked
            shown = None if checked is None else checked.shown.get(side.side, (0, 0))
            rows.append(
                [
                    self.reader.side(side.side),
                    counted(before["cards"]),
                    self._bare(before["minor"]),
                    counted(side.made_cards),
                    self._bare(side.made_minor),
                    not_read if shown is None else counted(shown[0]),
                    not_read if shown is None else self._bare(shown[1]),
                ]
            )
        head = (
            *(marked("Side"), marked("Listed cards"), marked("Listed money"), marked("Cards made")),
            *(marked("Money made"), marked("Cards read back"), marked("Shows")),
        )
        note = marked(
            "Listed: all that files and lists showed when the import was planned. Made: what the side "
            "confirmed. Shows: what it was read to show for this report, on the imported cards."
        )
        table = self._table(head, rows, numbers=range(1, 7))
        return f"<section><div class='wide'>{table}</div><p class='soft'>{self._text(note)}</p></section>"

    def outcomes(self) -> str:
        planned, said = self.report.planned, self.reader.said
        rows = [
            [
                _capital(said(kind.label)),
                counted(one.cards),
                self._bare(one.planned_minor),
                self._bare(one.made_minor) if one.made_minor else "",
                _bar(one.cards / (planned.cards or 1)),
                said(_MEANING[kind]),
            ]
            for kind, one in self.report.tally.by.items()
        ]
        total = [said(marked("Planned")), counted(planned.cards), self._bare(planned.planned_minor)]
        total += [self._bare(self.report.tally.total.made_minor), "", said(marked("the sum of the above"))]
        head = (
            *(marked("Outcome"), marked("Cards"), marked("Money planned"), marked("Put on new cards")),
            *("", ""),
        )
        table = self._table(head, rows, numbers=(1, 2, 3), raw=(4,), tight=(0,), total=total)
        return f"<section id='outcomes'><div class='wide'>{table}</div></section>"

    def liability(self, found: Sequence[Liability], what: str, nameless: str) -> str:
        top = max((one.balance_minor for one in found), default=0) or 1
        rows = [
            [
                one.name or self.reader.said(nameless),
                counted(one.cards),
                self._bare(one.balance_minor),
                _bar(one.balance_minor / top),
            ]
            for one in found
        ]
        cards, money = sum(one.cards for one in found), sum(one.balance_minor for one in found)
        total = [self.reader.said(marked("Total")), counted(cards), self._bare(money), ""]
        head = (what, marked("Cards"), marked("Owed"), "")
        return f"<section>{self._table(head, rows, numbers=(1, 2), raw=(3,), total=total)}</section>"

    def rows(self, told: Iterable[RowOutcome], nothing: str) -> str:
        found = list(islice(told, ROWS_SHOWN_MAX + 1))
        if not found:
            return f"<section class='soft'>{self._text(nothing)}</section>"
        plan, rows = self.report.plan, []
        for one in found[:ROWS_SHOWN_MAX]:
            row = one.row
            where = "" if row.source is None else f"{plan_source(plan, row.source)}:{row.line}"
            rows.append(
                [
                    mask(row.last_chars) if row.last_chars else "",
                    "" if row.pos_minor is None else self._bare(row.pos_minor),
                    "" if row.online_minor is None else self._bare(row.online_minor),
                    where,
                    row.cell,
                    self.reader.reason(one.why) if one.why else self.reader.said(one.kind.label),
                ]
            )
        more = self._text(marked("There are more; the CSV has all."))
        head = (
            *(marked("Card"), marked("In the store"), marked("Online"), marked("Line"), marked("Column")),
            marked("Why"),
        )
        table = self._table(head, rows, numbers=(1, 2), tight=(0, 3, 4))
        after = f"<p class='soft'>{more}</p>" if len(found) > ROWS_SHOWN_MAX else ""
        return f"<section><div class='wide'>{table}</div>{after}</section>"

    def _table(self, head: Sequence[str], rows: Sequence[Sequence[str]], **looks: Any) -> str:
        return _table([self.reader.said(one) for one in head], rows, **looks)

    def _text(self, words: str) -> str:
        return escape(self.reader.said(words))

    def _bare(self, minor: int) -> str:
        """An amount without the currency, which the page names once."""
        return figure_of(self.reader, minor, self.report.plan.currency)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    raw: Iterable[int] = (),
    tight: Iterable[int] = (),
    total: Sequence[str] | None = None,
) -> str:
    right, as_is, narrow = set(numbers), set(raw), set(tight)

    def cell(position: int, text: str, tag: str) -> str:
        name = " class='n'" if position in right else " class='tight'" if position in narrow else ""
        return f"<{tag}{name}>{text if position in as_is else escape(text)}</{tag}>"

    def line(cells: Sequence[str], tag: str = "td", name: str = "") -> str:
        return f"<tr{name}>{''.join(cell(p, text, tag) for p, text in enumerate(cells))}</tr>"

    body = "".join(line(row) for row in rows)
    if total is not None:
        body += line(total, name=" class='sum'")
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _bar(share: float) -> str:
    return f"<div class='bar'><i style='width:{min(max(share, 0), 1) * 100:.1f}%'></i></div>"


def _when(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
