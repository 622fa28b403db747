"""The accountant's questions: what is owed, which store owes which, and the proof of a month.

drawn_up = draft(books, period)          at any time, for any period: a statement without a number
closed = close(books, "2026-11")         once for each month: numbered, signed, kept
found = verify(books, data)              what is wrong with a statement's file, in words
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from sync.books import periods
from sync.books.classify import classify
from sync.books.entries import Entry, Facts
from sync.books.expiry import Expiry, ExpiryDates, expiries_digest, expiry_entries
from sync.books.journal import Accounts
from sync.books.lots import Rules
from sync.books.periods import Period
from sync.books.rollforward import BooksBroken, keep_books
from sync.books.seal import NotAStatement, Sealed, canonical, fingerprint, read_content, read_file
from sync.books.standard_accounts import NotAList, read_standard_accounts, unknown_accounts
from sync.books.statement import (
    Frame,
    LedgerPart,
    Previous,
    Statement,
    closings_of,
    faults,
    make_statement,
    rules_part,
)
from sync.crashpoints import crashpoint
from sync.ledger import books as ledger_books
from sync.ledger.books import CardBalance, Closed, Cut, Span
from sync.ledger.cards.changes import read_changes
from sync.ledger.database.engine import Engine
from sync.ledger.database.generation import behind
from sync.ledger.secrets.vault import Vault
from sync.support.audit import FindingKind, audit

#: Findings of the audit that a verification tells.
FINDINGS_MAX = 20
CLOSE_TRIES_MAX = 3


class NotClosed(Exception):
    """The month cannot be closed; the message says why. Nothing was changed."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class AccountsUnknown(Exception):
    """The settings name accounts that are not in the merchant's list; the message says which."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True)
class BookSettings:
    """What the merchant says about the books."""

    accounts: Accounts
    rules: Rules = field(default_factory=Rules)
    vat: str = "multi_purpose"
    breakage_months: int = 24
    #: Whether what is on a card is owed no longer once its last day has passed.
    expiry_ends_debt: bool = True
    #: A file with the standard accounts, if the merchant uses them.
    standard_accounts: Path | None = None

    def check_accounts(self) -> int | None:
        """Compare the accounts with the list; how long that is, if there is one. Raises AccountsUnknown."""
        path = self.standard_accounts
        if path is None:
            return None
        try:
            standard = read_standard_accounts(path.read_bytes())
        except OSError as error:
            words = f"{path} cannot be read: {error.strerror}"
            raise AccountsUnknown(words, "`standard_accounts` in [books] names it.") from None
        except NotAList as error:
            raise AccountsUnknown(
                f"{path} is no list of standard accounts: {error}",
                "Take General_Ledger_Standard_Accounts_4_character.csv from github.com/Skatteetaten/saf-t.",
            ) from None
        told = "; ".join(
            f"{one.setting} = {one.code} (the nearest is {one.nearest}, {one.nearest_name})"
            for one in unknown_accounts(self.accounts, standard)
        )
        if told:
            raise AccountsUnknown(f"no standard account: {told}", "Put it right in [books.accounts].")
        return len(standard)


@dataclass(frozen=True)
class Bookkeeper:
    """A ledger with what its statements need."""

    engine: Engine
    vault: Vault
    zone: ZoneInfo
    settings: BookSettings
    clock: Callable[[], datetime]


# --- Drafts -------------------------------------------------------------------------------------------------


def draft(keeper: Bookkeeper, period: Period) -> Statement:
    """The statement of any period as the ledger knows it now. Raises BooksBroken and AccountsUnknown."""
    return _statement(keeper, _span_now(keeper, period), None, None)[0]


def entries(keeper: Bookkeeper, period: Period) -> Iterator[tuple[Facts, Entry]]:
    """Every entry of the period with its card, by card: the rows behind the roll-forward."""
    span = _span_now(keeper, period)
    with ledger_books.streaming(keeper.engine) as connection:
        context = ledger_books.context(connection, keeper.zone)
        for card in ledger_books.active_cards(connection, span):
            booked = classify(card.facts, card.movements, card.receipts, context)
            expired = expiry_entries(card.facts, card.movements, span.expiry, context, period.from_at)
            told = (*booked.entries, *expired)
            yield from ((card.facts, entry) for entry in told if entry.in_period)


def balances(keeper: Bookkeeper, period: Period) -> Iterator[CardBalance]:
    """Every card with something on it at the beginning or the end of the period: the rows behind both.

    Raises BooksBroken.
    """
    span = _span_now(keeper, period)
    with ledger_books.streaming(keeper.engine) as connection:
        yield from ledger_books.balances(connection, span, keeper.clock(), keeper.vault)


def holders(keeper: Bookkeeper) -> dict[int, str]:
    """Names of buyers by card: personal data, for those who ask for it."""
    with ledger_books.streaming(keeper.engine) as connection:
        return ledger_books.holders(connection, keeper.vault)


def _span_now(keeper: Bookkeeper, period: Period) -> Span:
    last = ledger_books.watermark(keeper.engine)
    return Span(
        period, Cut(period.from_at, last), Cut(period.until_at, last), _expiry_dates(keeper, period, None)
    )


def _expiry_dates(keeper: Bookkeeper, period: Period, since: int | None) -> ExpiryDates:
    """By whole days: a card may be used until the end of its last one. Nothing has expired in the future."""
    now = keeper.clock()

    def before(moment: datetime) -> date:
        return min(moment, now).astimezone(keeper.zone).date() - timedelta(days=1)

    ends_debt = keeper.settings.expiry_ends_debt
    return ExpiryDates(before(period.from_at), before(period.until_at), ends_debt, since)


def _statement(
    keeper: Bookkeeper, span: Span, number: int | None, before: tuple[Closed, Statement] | None
) -> tuple[Statement, list[Expiry]]:
    """The statement, and what its close has to keep. Raises BooksBroken and AccountsUnknown."""
    keeper.settings.check_accounts()
    settings, now = keeper.settings, keeper.clock()
    # Cards age until the period's end, or until now where it is not over.
    ends = min(span.period.until_at, now)
    limit = periods.months_before(ends, settings.breakage_months)
    with (
        ledger_books.streaming(keeper.engine) as connection,
        ledger_books.asking_beside(keeper.engine, connection) as ask,
    ):
        sums = ask(lambda own: list(ledger_books.summed(own, span, limit, now, ends, keeper.vault)))
        digested = ask(lambda own: ledger_books.chain_digest(own, span.closing))
        context = ledger_books.context(connection, keeper.zone)
        books = keep_books(
            ledger_books.once_answered(sums),
            ledger_books.active_cards(connection, span),
            context,
            settings.rules,
            span.period.from_at,
            span.expiry,
        )
        digest, count = digested.result()
        last_change = span.closing.last_change
        changes = read_changes(ledger_books.day_changes(connection, last_change), keeper.vault)
        if changes.wrong:
            raise BooksBroken(_changed_words(changes.wrong))
        frame = Frame(
            period=span.period,
            timezone=keeper.zone.key,
            made_at=now,
            sides=ledger_books.side_infos(connection),
            rules=rules_part(
                settings.rules,
                settings.vat,
                settings.breakage_months,
                settings.accounts,
                expiry_ends_debt=settings.expiry_ends_debt,
            ),
            ledger=LedgerPart(
                digest,
                count,
                span.closing.last_movement,
                expiries_digest(books.expiries),
                changes.sha256,
                last_change,
            ),
            in_transit_minor=ledger_books.in_transit(connection, span.closing),
            number=number,
            previous=None if before is None else _previous(before[0]),
            closings=None if before is None else closings_of(before[1]),
        )
    return make_statement(books, frame), books.expiries


def _changed_words(card_ids: Collection[int]) -> str:
    named = ", ".join(str(card_id) for card_id in sorted(card_ids)[: ledger_books.BROKEN_SHOWN_MAX])
    return f"changes of the expiry date of card {named} are not as giftsync wrote them; run `giftsync audit`"


def _previous(closed: Closed) -> Previous:
    return Previous(closed.number, closed.period, closed.sha256)


# --- Closing a month ----------------------------------------------------------------------------------------


def close(keeper: Bookkeeper, month: str) -> Sealed:
    """Close a month, or return its statement if it is closed: the same bytes each time.

    Two that close at once get the same statement. Raises PeriodError, NotClosed, BooksBroken and
    AccountsUnknown.
    """
    period = periods.month(month, keeper.zone)
    for _ in range(CLOSE_TRIES_MAX):
        done = _done(keeper)
        known = next((one for one in done if one.period == month), None)
        if known is not None:
            return sealed_of(keeper, known)
        _check_turn(keeper, period, done)
        sealed, changes = _closed(keeper, period, done)
        crashpoint("close.before")
        if ledger_books.keep_close(keeper.engine, sealed, changes, keeper.clock()):
            crashpoint("close.after")
            return sealed
    raise NotClosed(f"others kept closing months while {month} was to be closed", "Run it again.")


def sealed_of(keeper: Bookkeeper, closed: Closed) -> Sealed:
    """A closed month's statement, as it was signed."""
    by = keeper.vault.signed_as(closed.content, closed.signature)
    return Sealed(read_content(closed.content), closed.content, by, closed.signature)


def closed_months(keeper: Bookkeeper) -> list[Sealed]:
    """Every closed month's statement, the first one first. Raises BooksBroken."""
    return [sealed_of(keeper, one) for one in _done(keeper)]


def _done(keeper: Bookkeeper) -> list[Closed]:
    """The closed months, each as it was signed and after the one that it names. Raises BooksBroken."""
    done, before = ledger_books.closed_months(keeper.engine), None
    for number, one in enumerate(done, 1):
        if one.number != number:
            raise BooksBroken(f"statement {number} is gone from the ledger; put its row back from a backup")
        if not _is_as_signed(keeper, one, before):
            raise BooksBroken(
                f"the ledger's row of statement {number} is not as it was signed; put it back from a backup. "
                "What the statement said is in its file: `giftsync close verify FILE`"
            )
        before = one
    return done


def _is_as_signed(keeper: Bookkeeper, closed: Closed, before: Closed | None) -> bool:
    """Whether the signature holds, and the columns beside the statement say what it says."""
    try:
        sealed = sealed_of(keeper, closed)
    except (NotAStatement, ValueError):
        return False
    said = sealed.statement
    beside = (closed.number, closed.period, closed.from_at, closed.until_at, closed.last_movement)
    signed = (said.number, said.period, said.from_at, said.until_at, said.ledger.last_movement)
    follows = said.previous == (None if before is None else _previous(before))
    return sealed.is_as_signed and sealed.sha256 == closed.sha256 and beside == signed and follows


def unread_sides(keeper: Bookkeeper, period: Period) -> list[str]:
    """Sides whose news were not read to the end of the period: what comes later is late news."""
    read = ledger_books.read_until(keeper.engine)
    return sorted(side for side, at in read.items() if at < period.until_at)


def unproved_changes(keeper: Bookkeeper) -> list[int]:
    """Cards with a change of their expiry date that giftsync has not proved, by id.

    A worker of an older release wrote it beside this one, or somebody did so by hand.
    """
    return ledger_books.unproved_changes(keeper.engine)


def _check_turn(keeper: Bookkeeper, period: Period, done: list[Closed]) -> None:
    if keeper.clock() < period.until_at:
        ends = period.until_at.astimezone(keeper.zone)
        raise NotClosed(
            f"{period.name} is not over: it ends on {ends:%Y-%m-%d at %H:%M %Z}",
            f"`giftsync liability --month {period.name}` shows how it stands.",
        )
    if behind(keeper.engine) is not None:
        raise NotClosed(
            "the ledger was put back and may lack what happened since", "Run `giftsync sync`, then close."
        )
    if not done:
        return
    turn = periods.month_after(done[-1].period)
    if period.name < done[0].period:
        raise NotClosed(f"the books begin with {done[0].period}; earlier months are in its opening balance")
    if period.name != turn:
        raise NotClosed(f"{turn} comes first", f"Run `giftsync close {turn}`.")
    zone_changed = done[-1].until_at != period.from_at
    if zone_changed:
        raise NotClosed(
            f"{done[-1].period} ended at {done[-1].until_at.isoformat()}, and {period.name} begins at "
            f"{period.from_at.isoformat()}: the time zone of the link has changed",
            "Put `timezone` back; months that are closed keep the one they were closed in.",
        )


def _closed(keeper: Bookkeeper, period: Period, done: list[Closed]) -> tuple[Sealed, list[Expiry]]:
    last = ledger_books.watermark(keeper.engine)
    last_change = ledger_books.change_watermark(keeper.engine)
    before = None
    if done:
        before = done[-1], read_content(done[-1].content)
    opening = Cut(period.from_at, done[-1].last_movement if done else last)
    closing = Cut(period.until_at, last, last_change)
    span = Span(period, opening, closing, _expiry_dates(keeper, period, len(done)))
    statement, changes = _statement(keeper, span, len(done) + 1, before)
    if before is not None:
        _check_continues(before[1], statement)
    content = canonical(statement)
    return Sealed(statement, content, keeper.vault.signs_as, keeper.vault.sign(content)), changes


def _check_continues(before: Statement, statement: Statement) -> None:
    """Raises BooksBroken unless the opening is the closing of the statement before."""
    closed = {part.currency: part.total.closing_minor for part in before.currencies}
    opened = {part.currency: part.total.opening_minor for part in statement.currencies}
    for currency in sorted(closed.keys() | opened.keys()):
        if closed.get(currency, 0) != opened.get(currency, 0):
            raise BooksBroken(
                f"statement {before.number} closed {before.period} with {closed.get(currency, 0)} {currency} "
                f"in minor units, and the same rows come to {opened.get(currency, 0)} now: rows of a closed "
                "month were changed"
            )


# --- Verifying ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verified:
    """What was found out about a file. Nothing in `wrong`: it is what the ledger says."""

    statement: Statement | None
    public_key: str
    wrong: tuple[str, ...]
    #: What was looked at, in words.
    checked: tuple[str, ...]


def verify(data: bytes, keeper: Bookkeeper | None, *, audits: bool = True) -> Verified:
    """Check a statement's file: by itself, and against the ledger where there is one.

    `audits`: also follow every card's chain, which takes as long as `giftsync audit`.
    """
    try:
        sealed = read_file(data)
    except NotAStatement as error:
        return Verified(None, "", (f"The file is no statement of giftsync's: {error}.",), ())
    wrong = [] if sealed.is_as_signed else ["The file is not what was signed: it was changed afterwards."]
    wrong += [f"It does not add up: {words}." for words in faults(sealed.statement)]
    checked = ["signature", "sums"]
    if sealed.statement.number is None:
        wrong.append("It is a draft: it has no number.")
    elif keeper is not None:
        checked += ["the ledger's own copy", "the ledger's movements"]
        wrong += _compare(sealed, keeper)
        if audits:
            checked.append("every card's chain")
            wrong += _audited(keeper)
    return Verified(sealed.statement, fingerprint(sealed.public_key), tuple(wrong), tuple(checked))


def _compare(sealed: Sealed, keeper: Bookkeeper) -> Iterator[str]:
    """What tells the statement from the ledger of today."""
    statement, number = sealed.statement, sealed.statement.number
    if sealed.public_key not in (one.signs_as for one in (keeper.vault, *keeper.vault.former)):
        mine, theirs = fingerprint(keeper.vault.signs_as), fingerprint(sealed.public_key)
        yield f"It was signed with another key ({theirs}) than this ledger's ({mine})."
    done = {one.number: one for one in ledger_books.closed_months(keeper.engine)}
    mine_of = done.get(number or 0)
    if mine_of is None:
        yield (
            f"This ledger has no statement {number}. If the ledger was put back from a backup, the statement "
            "was made after that backup; else it is another ledger's."
        )
    elif not _is_as_signed(keeper, mine_of, done.get(mine_of.number - 1)):
        yield f"The ledger's own row of statement {number} is not as it was signed: somebody changed it."
    elif mine_of.sha256 != sealed.sha256:
        yield (
            f"This ledger's statement {number} is another one (of {mine_of.period}); "
            f"`giftsync close {mine_of.period}` writes it."
        )
    before = statement.previous
    if before is not None and before.number in done and done[before.number].sha256 != before.sha256:
        yield f"The statement before it, number {before.number}, is not the one that it continues."
    if mine_of is not None:
        yield from _recount(statement, keeper)


def _recount(statement: Statement, keeper: Bookkeeper) -> Iterator[str]:
    """Add the ledger's rows up again."""
    cut = Cut(statement.until_at, statement.ledger.last_movement)
    with ledger_books.streaming(keeper.engine) as connection:
        digest, count = ledger_books.chain_digest(connection, cut)
        sums = ledger_books.sums_by_kind(connection, cut)
        expired = ledger_books.expired_sums(connection, statement.number or 0)
        kept = expiries_digest(ledger_books.expiries_of(connection, statement.number or 0))
        rows = ledger_books.day_changes(connection, statement.ledger.last_change)
        changes = read_changes(rows, keeper.vault)
    told = statement.ledger
    if count != told.movements:
        change = "were removed" if count < told.movements else "were added"
        yield (
            f"The statement was made from {told.movements} movements; the ledger has {count} up to the same "
            f"moment: {abs(count - told.movements)} {change} since."
        )
    elif digest != told.chain_sha256:
        yield "The ledger has as many movements as then, but not the same: rows were replaced."
    if kept != told.expiries_sha256:
        yield "What the ledger keeps as expired, card by card, is not what the statement took as expired."
    if changes.sha256 != told.changes_sha256:
        yield (
            "The changes of expiry dates from which the ledger tells what had expired are not those of then: "
            "rows were changed, removed or added."
        )
    for part in statement.currencies:
        now_minor = sum(amount for (currency, _), amount in sums.items() if currency == part.currency)
        now_minor -= expired.get(part.currency, 0)
        if now_minor != part.total.closing_minor:
            off = now_minor - part.total.closing_minor
            yield (
                f"The statement closes with {part.total.closing_minor} {part.currency} in minor units; the "
                f"same rows come to {now_minor} today, {off:+} of difference."
            )


def _audited(keeper: Bookkeeper) -> Iterator[str]:
    """Rows that were touched, by name."""
    findings = (
        one
        for one in audit(keeper.engine, keeper.vault, keeper.clock)
        if one.kind.is_discrepancy and one.kind is not FindingKind.OUT_OF_STEP
    )
    for one in islice(findings, FINDINGS_MAX):
        yield f"The audit finds, on card {one.card_id}: {one.summary}"
    if next(findings, None) is not None:
        yield "The audit finds more: run `giftsync audit`."
