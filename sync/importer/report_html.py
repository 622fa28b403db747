"""The report as one HTML file that needs nothing else: no scripts, no fonts, no network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice

from mappings.money import format_money
from mappings.serials import mask
from sync.importer.actions import Action
from sync.importer.planfile import plan_source
from sync.importer.report import ImportReport, Told
from sync.ledger.import_sums import Liability

#: Rejects and conflicts that the page lists; the CSV beside it has all.
ROWS_SHOWN_MAX = 500

_STYLE = """
:root { --ink:#1d2433; --soft:#667085; --line:#e4e7ec; --page:#f6f7f9; --good:#067647; --good-bg:#ecfdf3;
  --bad:#b42318; --bad-bg:#fef3f2; --bar:#3b6fd8; --bar-bg:#e8eefb; }
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
.proof strong { display:block; font-size:18px; color:var(--good); }
.proof.bad strong { color:var(--bad); }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(165px,1fr)); gap:12px; margin:16px 0 0; }
.tile { background:#fff; border:1px solid var(--line); border-radius:10px; padding:14px 16px; }
.tile b { display:block; font-size:22px; font-variant-numeric:tabular-nums; }
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
@media print { body { background:#fff; } main { padding:0; } }
"""

_LABELS = {
    Action.ADOPT: "On both sides already: adopted",
    Action.CREATE_ONLINE: "Created in Shopify",
    Action.CREATE_POS: "Created in the store",
    Action.CONFLICT: "Two balances: a person decides",
    Action.WATCH: "Known to the hub, nothing to create",
    Action.KNOWN: "In the hub already",
    Action.SKIP: "Nothing to keep in step",
    Action.REJECT: "Rejected",
}


def render_html(report: ImportReport, left_out: Iterable[Told], waiting: Iterable[Told]) -> str:
    """The page. `left_out` are rejects, `waiting` rows that wait for a person."""
    plan, currency = report.plan, report.plan.currency
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Gift card import {escape(plan.id)}</title><style>{_STYLE}</style></head><body><main>",
        "<h1>Gift card import</h1>",
        _subtitle(report),
        _proof(report),
        _tiles(report),
        "<h2>Both sides, before and after</h2>",
        _sides(report),
        "<h2>What happened to each card</h2>",
        _actions(report),
        "<h2>What is owed, by brand</h2>",
        _liability(report.brands, "Brand", currency),
        "<h2>What is owed, by store</h2>",
        _liability(report.stores, "Store", currency),
        "<h2>Waiting for a person</h2>",
        _rows(report, waiting, "Nothing waits for a person."),
        "<h2>Rejected</h2>",
        _rows(report, left_out, "No line and no card was rejected."),
        _footer(report),
        "</main></body></html>",
    ]
    return "\n".join(parts)


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


def _proof(report: ImportReport) -> str:
    currency, hub = report.plan.currency, report.hub
    opening, balance = format_money(hub.opening_minor, currency), format_money(hub.balance_minor, currency)
    words = f"The imported cards came with {opening}"
    if hub.changes_minor:
        words += f", moved by {format_money(hub.changes_minor, currency)} since,"
    words += f" and hold {balance}."
    checked = report.checked
    if checked is None:
        words += " The sides were not read back for this report."
    else:
        shown = "; ".join(
            f"{name.capitalize()} shows {format_money(minor, currency)} on {count:,} cards"
            for name, (count, minor) in sorted(checked.shown.items())
        )
        words += f" Read back card by card, {shown}."
        if checked.moved or checked.unread or checked.discrepancies:
            words += (
                f" {checked.moved:,} cards moved since they were last read, {checked.unread:,} could not be "
                f"read, {checked.discrepancies:,} discrepancies in the ledger."
            )
    shows = {side.shows_minor for side in report.sides}
    if len(shows) > 1:
        words += (
            f" The sides differ by {format_money(max(shows) - min(shows), currency)}: cards that wait for a "
            "person, or are suspended or expired, stay as they are."
        )
    if report.left:
        words += f" {report.left:,} rows of the plan are not done yet: run the same command again."
    head = "Money in is money out: the difference is 0." if report.adds_up else "The sums do not agree."
    return (
        f"<div class='proof{'' if report.adds_up else ' bad'}'><strong>{head}</strong>{escape(words)}</div>"
    )


def _tiles(report: ImportReport) -> str:
    made = sum(side.made_cards for side in report.sides)
    made_minor = sum(side.made_minor for side in report.sides)
    rejected = report.by_action.get(Action.REJECT, (0, 0))[0]
    conflicts = sum(count for count, _ in report.conflicts.values())
    tiles = [
        (f"{report.hub.cards:,}", "cards in the hub by this import"),
        (f"{made:,}", "cards created"),
        (_bare(made_minor, report.plan.currency), "put on created cards"),
        (f"{conflicts:,}", "conflicts wait for a person"),
        (f"{rejected:,}", "rejected"),
    ]
    cells = "".join(f"<div class='tile'><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in tiles)
    return f"<div class='tiles'>{cells}</div>"


def _sides(report: ImportReport) -> str:
    currency = report.plan.currency
    rows = []
    for side in report.sides:
        before = report.plan.before.get(side.side, {"cards": 0, "minor": 0})
        rows.append(
            [
                side.side.capitalize(),
                f"{before['cards']:,}",
                _bare(before["minor"], currency),
                _bare(side.had_minor, currency),
                _bare(side.made_minor, currency),
                _bare(side.moved_minor + side.on_the_way_minor, currency),
                _bare(side.shows_minor, currency),
                f"{side.cards:,}",
            ]
        )
    head = (
        "Side",
        "Cards before",
        "Money before",
        "Imported",
        "+ created",
        "+ moved",
        "= after",
        "Cards after",
    )
    note = (
        "<p class='soft'>Before: everything that was listed when the import was planned. Imported: the part "
        "of it that the hub took; the rest is rejected or has nothing to keep in step.</p>"
    )
    return f"<section>{_table(head, rows, numbers=range(1, 8))}{note}</section>"


def _actions(report: ImportReport) -> str:
    total = sum(count for count, _ in report.by_action.values()) or 1
    rows = []
    for action in Action:
        if action.value in report.by_action:
            count, minor = report.by_action[action.value]
            rows.append(
                [_LABELS[action], f"{count:,}", _bare(minor, report.plan.currency), _bar(count / total)]
            )
    table = _table(("Planned as", "Cards", "Money on them", ""), rows, numbers=(1, 2), raw=(3,))
    return f"<section>{table}</section>"


def _liability(found: Sequence[Liability], what: str, currency: str) -> str:
    top = max((one.balance_minor for one in found), default=0) or 1
    rows = [
        [
            one.name or f"no {what.lower()} named",
            f"{one.cards:,}",
            _bare(one.balance_minor, currency),
            _bar(one.balance_minor / top),
        ]
        for one in found
    ]
    cards, money = sum(one.cards for one in found), sum(one.balance_minor for one in found)
    total = ["Total", f"{cards:,}", _bare(money, currency), ""]
    table = _table((what, "Cards", "Owed", ""), rows, numbers=(1, 2), raw=(3,), total=total)
    return f"<section>{table}</section>"


def _rows(report: ImportReport, told: Iterable[Told], nothing: str) -> str:
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
                one.outcome,
            ]
        )
    more = "<p class='soft'>There are more; the CSV has all.</p>" if len(found) > ROWS_SHOWN_MAX else ""
    head = ("Card", "In the store", "Online", "Line", "Column", "Why")
    table = _table(head, rows, numbers=(1, 2), tight=(0, 3, 4))
    return f"<section>{table}{more}</section>"


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
