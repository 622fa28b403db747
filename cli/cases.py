"""Conflicts on the terminal: the worklist, one conflict with what can be decided, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, tzinfo

from cli.output import Output, plural, rows, table, when
from cli.show import age_words, date_words
from connectors.api.capabilities import Place
from mappings.money import format_money
from mappings.serials import mask
from sync.ledger.views import IntentRow
from sync.support.cases import Listed, Shown
from sync.support.explain import Advice, Option
from sync.support.settle import Resolved, SideChange
from sync.support.writes import progress_words, write_words

INDENT = "    "


def show_list(found: Iterable[Listed], at: datetime, output: Output) -> None:
    """One paragraph for each conflict: which card, what happened, what to do next."""
    for one in found:
        row = one.conflict
        head = [str(row.id), row.kind.replace("_", " "), one.ends_in]
        if one.at_stake_minor:
            was = "were " if row.closed_at else ""
            head.append(f"{format_money(one.at_stake_minor, one.currency)} {was}at stake")
        head.append("closed" if row.closed_at else age_words(at - row.opened_at))
        output.paragraph("  ".join(filter(None, head)), after=INDENT)
        output.paragraph(one.what, INDENT)
        if one.next_step:
            output.paragraph(f"Next: {one.next_step}", INDENT)
        if one.decided:
            output.paragraph(f"Closed: {one.decided}", INDENT)


def show_case(found: Shown, at: datetime, zone: tzinfo, output: Output, *, commands: bool = True) -> None:
    """Everything about one conflict; with `commands` what can be typed to settle it."""
    row, listed, advice = found.conflict, found.listed, found.advice
    card = f", card {listed.ends_in}" if listed.ends_in else ""
    output.paragraph(f"Conflict {row.id}: {row.kind.replace('_', ' ')}{card}")
    output.paragraph(listed.what)
    if listed.at_stake_minor:
        now = "Was at stake" if row.closed_at else "At stake now"
        output.paragraph(f"{now}: {format_money(listed.at_stake_minor, listed.currency)}")
    output.paragraph(
        f"Since {when(row.opened_at, zone)} ({age_words(at - row.opened_at)}), seen "
        f"{plural(row.seen, 'time')}, last {when(row.last_seen_at, zone)}."
    )
    if advice is None:
        _show_closed(found, zone, output)
        return
    output.paragraph(f"Why: {advice.why}")
    output.paragraph(f"Done already: {advice.done}")
    if advice.sides:
        show_sides(advice, listed.currency, output)
    output.paragraph(f"Next: {advice.deed}")
    if not commands:
        return
    output.say("")
    output.paragraph(
        f"Settle it with one of these, and with your reason (--why). `giftsync conflicts resolve "
        f"{row.id}` alone walks you through; --preview says what would follow."
    )
    show_options(row.id, advice.options, output)
    if row.card_id is not None:
        output.paragraph(f"All about the card: giftsync cards show {row.card_id}")


def show_options(conflict_id: int, options: Iterable[Option], output: Output) -> None:
    for option in options:
        output.say(f"  giftsync conflicts resolve {conflict_id} {option.command} --why REASON")
        output.paragraph(f"{option.words[0].upper()}{option.words[1:]}.", "      ")


def show_sides(advice: Advice, currency: str, output: Output) -> None:
    """What each side says about the card."""
    made = table("Side", "Card", "Shows", "Status", "Expires", "", right=["Shows"])
    output.show(
        rows(
            made,
            (
                (
                    view.side,
                    view.card,
                    format_money(view.balance_minor, currency),
                    view.status,
                    date_words(view.expires_on),
                    view.trouble,
                )
                for view in advice.sides
            ),
        )
    )


def _show_closed(found: Shown, zone: tzinfo, output: Output) -> None:
    row = found.conflict
    said = found.decided or (row.resolution or "").replace("_", " ")
    by = f" by {row.resolved_by}" if row.resolved_by else ""
    why = f", because: {row.resolved_why}" if row.resolved_why else ""
    output.paragraph(f"Closed {when(row.closed_at, zone)}{by}: {said.replace('_', ' ')}{why}")
    for intent in found.writes:
        output.paragraph(f"Then: {written(intent, found.listed.currency, zone)}", after=INDENT)


def written(intent: IntentRow, currency: str, zone: tzinfo) -> str:
    """What one write did, or how far it has come."""
    words = write_words(intent.kind, intent.amount_minor, currency, intent.status, intent.expires_on)
    progress = progress_words(intent.state, intent.refusal)
    at = when(intent.ended_at, zone)
    return f"{intent.side}: {words}" + (f": {progress}" if progress else f", {at}")


def show_resolved(done: Resolved, currency: str, places: dict[str, Place], output: Output) -> None:
    """What a decision changes, side by side: what each shows, and what it will show."""
    if done.instead_of:
        output.paragraph(f"In place of {done.instead_of}, of which nothing was carried out yet.")
    if done.before_minor is not None and done.before_minor != done.after_minor:
        before, after = (
            format_money(minor or 0, currency) for minor in (done.before_minor, done.after_minor)
        )
        output.paragraph(f"The card is worth {after} instead of {before}.")
    for change in done.sides:
        output.paragraph(_change_words(change, currency, places), after=INDENT)
    for words in done.opened:
        output.paragraph(f"To be decided next: {words}", after=INDENT)


def follow_up(conflict_id: int, done: Resolved, goes_on: str) -> str:
    """What happens after a decision; `goes_on` says who carries out what is left to write."""
    follows = any(change.changes for change in done.sides) or done.planned
    rest = goes_on if follows else "Nothing has to be written."
    return f"Conflict {conflict_id} is settled. {rest}"


def _change_words(change: SideChange, currency: str, places: dict[str, Place]) -> str:
    named = f"{places[change.side].name if change.side in places else change.side} {mask(change.last_chars)}"
    before, after = (format_money(minor, currency) for minor in (change.before_minor, change.after_minor))
    if not change.changes:
        return f"{named}: stays as it is, {before}"
    if change.made:
        return f"{named}: is made there with {after}"
    words = []
    if before != after:
        words.append(f"{before} → {after}")
    if change.status_before is not change.status_after:
        words.append(f"{change.status_before} → {change.status_after}")
    if change.expires_before != change.expires_after:
        until = (date_words(day) for day in (change.expires_before, change.expires_after))
        words.append(f"expires {' → '.join(until)}")
    if change.looks:
        words.append("looked at again first; it is written if its card takes it")
    return f"{named}: {', '.join(words)}"
