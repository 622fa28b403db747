"""The report as one HTML file that needs nothing else: no scripts, no fonts, no network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import islice

from mappings.money import format_money
from mappings.serials import mask
from sync.importer.outcomes import Outcome, RowOutcome, Sum
from sync.importer.planfile import plan_source
from sync.importer.report import ImportReport, ImportVerdict
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
    Outcome.MADE: "a card was made with the money that was planned, and its side confirmed it",
    Outcome.ALREADY_SO: "both sides agree, the hub had it, or there is nothing to make now",
    Outcome.DIFFERED: "in step, with another amount than planned or by another way",
    Outcome.FELL_AWAY: "nothing came of it: gone, closed, excluded, or taken out of the plan",
    Outcome.CONFLICT: "a person decides",
    Outcome.REJECTED: "the row or the card could not be taken",
    Outcome.NOT_YET: "not done, or not confirmed",
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
) -> str:
    """The page. `left_out` are rejects, `waiting` rows that wait for a person.

    `others` are rows that differed, or fell away though they were to be done.
    """
    plan, currency = report.plan, report.plan.currency
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Gift card import {escape(plan.id)}</title><style>{_STYLE}</style></head><body><main>",
        "<h1>Gift card import</h1>",
        _subtitle(report),
        _proof(report),
        _tiles(report),
        "<h2>What happened to each card</h2>",
        _outcomes(report),
        "<h2>Both sides</h2>",
        _sides(report),
        "<h2>Waiting for a person</h2>",
        _rows(report, waiting, "Nothing waits for a person."),
        "<h2>Not as planned</h2>",
        _rows(report, others, "Every card that was done was done as planned."),
        "<h2>Rejected</h2>",
        _rows(report, left_out, "No line and no card was rejected."),
        "<h2>What is owed, by brand</h2>",
        _liability(report.brands, "Brand", currency),
        "<h2>What is owed, by store</h2>",
        _liability(report.stores, "Store", currency),
        _footer(report),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def counted(count: int) -> str:
    """`12 480`, grouped as amounts are."""
    return f"{count:,}".replace(",", " ")


def _subtitle(report: ImportReport) -> str:
    plan = report.plan
    return (
        f"<p class='sub'>Plan {escape(plan.id)} of {_when(plan.created_at)}; "
        f"report of {_when(report.made_at)}. Amounts in {escape(plan.currency)}.</p>"
    )


def _footer(report: ImportReport) -> str:
    notices = f"Customers notified about these cards: {report.hub.notices}."
    return (
        f"<footer>Cards show their last four only. {notices} The CSV beside this file has every row.</footer>"
    )


def headline(report: ImportReport) -> str:
    """What the import came to, in a sentence."""
    currency, by = report.plan.currency, report.tally.by
    match report.verdict:
        case ImportVerdict.WRONG:
            return "The sums do not agree."
        case ImportVerdict.UNFINISHED:
            left = by[Outcome.NOT_YET]
            return f"Not finished: {_cards(left, currency)} {_are(left)} not made yet, or not confirmed."
        case ImportVerdict.FELL_AWAY:
            return f"{_cards(report.tally.unexpected, currency)} fell away: find out why."
        case ImportVerdict.CONFLICTS:
            return f"{_cards(by[Outcome.CONFLICT], currency)} {_waits(by[Outcome.CONFLICT])} for a person."
        case ImportVerdict.NOT_READ:
            return "All is done. The sides were not read back, so it is not proved that they show it."
    return "Money in is money out: the difference is 0."


def explanation(report: ImportReport) -> str:
    """What the headline rests on, and the next step."""
    currency, hub, checked = report.plan.currency, report.hub, report.checked
    opening, balance = format_money(hub.opening_minor, currency), format_money(hub.balance_minor, currency)
    words = f"The imported cards came with {opening}"
    if hub.changes_minor:
        words += f", moved by {format_money(hub.changes_minor, currency)} since,"
    words += f" and are worth {balance} in the hub."
    if checked is None:
        words += " The sides were not read back for this report: `giftsync import report PLAN` does it."
    else:
        shown = "; ".join(
            f"{name.capitalize()} shows {format_money(minor, currency)} on {counted(count)} cards"
            for name, (count, minor) in sorted(checked.shown.items())
        )
        words += f" Read back card by card: {shown or 'no card is there yet'}."
        words += _differing(report)
    if report.tally.unexpected.cards:
        words += (
            " What fell away is listed in the report under Not as planned: a number may have lost a digit."
        )
    if report.left:
        words += " Run `giftsync import apply PLAN` again: what is done stays done."
    rejected = report.tally.by[Outcome.REJECTED]
    if rejected.cards:
        words += f" {_cards(rejected, currency)} {_were(rejected)} rejected: correct the rows and plan again."
    return words


def _differing(report: ImportReport) -> str:
    checked, currency = report.checked, report.plan.currency
    if checked is None:
        return ""
    words = ""
    if checked.moved:
        by = format_money(checked.moved_minor, currency)
        words += (
            f" {counted(checked.moved)} show something else than the ledger expects, {by} together: "
            "customers have paid or loaded since. `giftsync sync` takes that in; then write the report again."
        )
    if checked.absent:
        words += f" {counted(checked.absent)} are not there any more."
    if checked.unread:
        words += (
            f" {counted(checked.unread)} could not be read: write the report again when the side answers."
        )
    if checked.busy:
        words += f" {counted(checked.busy)} were being worked on and are not compared."
    if checked.discrepancies:
        times = counted(checked.discrepancies)
        words += f" The ledger contradicts itself {times} times: `giftsync audit` says where."
    return words


def _cards(one: Sum, currency: str) -> str:
    noun = "card" if one.cards == 1 else "cards"
    return f"{counted(one.cards)} {noun} with {format_money(one.planned_minor, currency)}"


def _are(one: Sum) -> str:
    return "is" if one.cards == 1 else "are"


def _were(one: Sum) -> str:
    return "was" if one.cards == 1 else "were"


def _waits(one: Sum) -> str:
    return "waits" if one.cards == 1 else "wait"


_TONE = {ImportVerdict.WRONG: " bad", ImportVerdict.IN_STEP: ""}


def _proof(report: ImportReport) -> str:
    tone = _TONE.get(report.verdict, " open")
    words = escape(explanation(report))
    return f"<div class='proof{tone}'><strong>{escape(headline(report))}</strong>{words}</div>"


def _tiles(report: ImportReport) -> str:
    by, currency = report.tally.by, report.plan.currency
    made = report.tally.total.made_minor
    tiles = [
        (f"{counted(report.planned.cards)}", "rows planned"),
        (f"{counted(by[Outcome.MADE].cards + by[Outcome.DIFFERED].cards)}", "made or differed"),
        (_bare(made, currency), "put on new cards"),
        (f"{counted(by[Outcome.CONFLICT].cards)}", "wait for a person"),
        (f"{counted(by[Outcome.NOT_YET].cards)}", "not yet"),
        (f"{counted(by[Outcome.REJECTED].cards)}", "rejected"),
    ]
    cells = "".join(f"<div class='tile'><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in tiles)
    return f"<div class='tiles'>{cells}</div>"


def _sides(report: ImportReport) -> str:
    currency = report.plan.currency
    rows = []
    for side in report.sides:
        before = report.plan.before.get(side.side, {"cards": 0, "minor": 0})
        shown = None if report.checked is None else report.checked.shown.get(side.side, (0, 0))
        rows.append(
            [
                side.side.capitalize(),
                f"{counted(before['cards'])}",
                _bare(before["minor"], currency),
                f"{counted(side.made_cards)}",
                _bare(side.made_minor, currency),
                "not read" if shown is None else f"{counted(shown[0])}",
                "not read" if shown is None else _bare(shown[1], currency),
            ]
        )
    head = ("Side", "Listed cards", "Listed money", "Cards made", "Money made", "Cards read back", "Shows")
    note = (
        "<p class='soft'>Listed: all that files and lists showed when the import was planned. Made: what the "
        "side confirmed. Shows: what it was read to show for this report, on the imported cards.</p>"
    )
    return f"<section><div class='wide'>{_table(head, rows, numbers=range(1, 7))}</div>{note}</section>"


def _outcomes(report: ImportReport) -> str:
    currency, planned = report.plan.currency, report.planned
    rows = [
        [
            kind.label.capitalize(),
            f"{counted(one.cards)}",
            _bare(one.planned_minor, currency),
            _bare(one.made_minor, currency) if one.made_minor else "",
            _bar(one.cards / (planned.cards or 1)),
            _MEANING[kind],
        ]
        for kind, one in report.tally.by.items()
    ]
    total = ["Planned", f"{counted(planned.cards)}", _bare(planned.planned_minor, currency)]
    total += [_bare(report.tally.total.made_minor, currency), "", "the sum of the above"]
    head = ("Outcome", "Cards", "Money planned", "Put on new cards", "", "")
    table = _table(head, rows, numbers=(1, 2, 3), raw=(4,), tight=(0,), total=total)
    return f"<section id='outcomes'><div class='wide'>{table}</div></section>"


def _liability(found: Sequence[Liability], what: str, currency: str) -> str:
    top = max((one.balance_minor for one in found), default=0) or 1
    rows = [
        [
            one.name or f"no {what.lower()} named",
            f"{counted(one.cards)}",
            _bare(one.balance_minor, currency),
            _bar(one.balance_minor / top),
        ]
        for one in found
    ]
    cards, money = sum(one.cards for one in found), sum(one.balance_minor for one in found)
    total = ["Total", f"{counted(cards)}", _bare(money, currency), ""]
    table = _table((what, "Cards", "Owed", ""), rows, numbers=(1, 2), raw=(3,), total=total)
    return f"<section>{table}</section>"


def _rows(report: ImportReport, told: Iterable[RowOutcome], nothing: str) -> str:
    found = list(islice(told, ROWS_SHOWN_MAX + 1))
    if not found:
        return f"<section class='soft'>{nothing}</section>"
    plan = report.plan
    rows = []
    for one in found[:ROWS_SHOWN_MAX]:
        row = one.row
        where = "" if row.source is None else f"{plan_source(plan, row.source)}:{row.line}"
        rows.append(
            [
                mask(row.last_chars) if row.last_chars else "",
                "" if row.pos_minor is None else _bare(row.pos_minor, plan.currency),
                "" if row.online_minor is None else _bare(row.online_minor, plan.currency),
                where,
                row.cell,
                one.why or one.kind.label,
            ]
        )
    more = "<p class='soft'>There are more; the CSV has all.</p>" if len(found) > ROWS_SHOWN_MAX else ""
    head = ("Card", "In the store", "Online", "Line", "Column", "Why")
    table = _table(head, rows, numbers=(1, 2), tight=(0, 3, 4))
    return f"<section><div class='wide'>{table}</div>{more}</section>"


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


def _bare(minor: int, currency: str) -> str:
    """An amount without the currency, which the page names once."""
    return format_money(minor, currency).removesuffix(f" {currency}")


def _when(moment: object) -> str:
    return escape(f"{moment:%Y-%m-%d %H:%M} UTC") if moment else ""
