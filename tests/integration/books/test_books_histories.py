"""Properties of the books over any history. `TEST_BOOKS_HISTORIES=10000` tries that many (some minutes)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from sync.books import periods
from sync.books.statement import Statement, faults
from sync.ledger.database import tables
from sync.ledger.database.engine import open_engine
from sync.support.bookkeeping import balances, close, draft, verify
from tests.integration.books.histories import SIDES, ZONE, History

HISTORIES = int(os.environ.get("TEST_BOOKS_HISTORIES", "25"))
#: A history takes 60 ms on a machine of its own, and twenty times as long on a busy one.
pytestmark = pytest.mark.timeout(max(900, 2 * HISTORIES))

DAY = timedelta(days=1)
_amounts = st.integers(1, 500)
_late = st.sampled_from((0, 0, 0, 0, 0.01, 3, 45))
_sides = st.sampled_from(SIDES)
_step = st.one_of(
    st.tuples(st.just("meet"), _sides, _amounts, st.sampled_from(("NOK", "NOK", "JPY", "KWD")), _late),
    st.tuples(st.just("spend"), st.integers(0, 9), _amounts, st.integers(0, 500), _late),
    st.tuples(st.just("load"), st.integers(0, 9), _sides, _amounts, _late),
    st.tuples(st.just("decide"), st.integers(0, 9), st.integers(0, 500), _late),
    st.tuples(st.just("end"), st.integers(0, 9), _late),
    st.tuples(st.just("receipt"), st.integers(0, 9), _sides, st.integers(-300, 300), st.sampled_from("AB")),
    st.tuples(st.just("expire"), st.integers(0, 9), st.sampled_from((None, -70, -40, -3, -1, 0, 1, 20, 50))),
    st.tuples(st.just("rule"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from((0.2, 1, 9, 21, 31))),
    st.tuples(st.just("close")),
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One ledger that every history begins anew."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('books') / 'ledger.db'}")
    tables.metadata.create_all(engine)
    yield engine
    engine.dispose()


def play(history: History, step: tuple[Any, ...]) -> None:
    what, *more = step
    if what == "meet":
        side, amount, currency, late = more
        history.meet(side, amount, currency, days_late=late)
    elif what == "rule":
        history.settings = replace(history.settings, expiry_ends_debt=more[0])
    elif what == "wait":
        history.advance(*more)
    elif history.balances:
        card_id = more[0] % len(history.balances) + 1
        match what:
            case "spend":
                history.move(card_id, {"flow": -more[1], "shopify": -more[2]}, days_late=more[3])
            case "load":
                history.move(card_id, {more[1]: more[2]}, days_late=more[3])
            case "decide":
                history.decide(card_id, more[1], days_late=more[2])
            case "end":
                history.end(card_id, days_late=more[1])
            case "expire":
                today = history.now.astimezone(ZONE).date()
                history.expire(card_id, None if more[1] is None else today + timedelta(days=more[1]))
            case "receipt":
                kind = "payment" if more[2] < 0 else "sale"
                history.receipt(card_id, more[1], kind, more[2], f"Store {more[3]}")


class Months:
    """The months closed so far, each compared with the account as it is closed."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.turn = periods.month_of(history.now, ZONE)
        self.done: list[tuple[bytes, Statement]] = []
        self.expired: Counter[str] = Counter()

    def _expired_before(self, currency: str, statement: Statement) -> int:
        """What the statements so far took as expired; before the first, what had expired when it began."""
        if self.done:
            return self.expired[currency]
        before = statement.from_at.astimezone(ZONE).date() - timedelta(days=1)
        rows = [row for row in self.history.rows if row.at < statement.from_at and row.currency == currency]
        if not self.history.settings.expiry_ends_debt:
            return 0
        days = self.history.last_days_at(statement.from_at)
        gone = {card for card, day in days.items() if day is not None and day <= before}
        on_cards: Counter[int] = Counter()
        for row in rows:
            on_cards[row.card_id] += row.amount_minor * (row.card_id in gone)
        return sum(max(amount, 0) for amount in on_cards.values())

    def close_what_is_over(self) -> None:
        while self.history.now >= periods.month(self.turn, ZONE).until_at:
            booked = self.history.book(self.turn)
            sealed = close(self.history.keeper, self.turn)
            self.check(sealed.statement, booked)
            self.done.append((sealed.to_file(), sealed.statement))
            self.turn = periods.month_after(self.turn)

    def check(self, statement: Statement, booked: list[Any]) -> None:
        assert faults(statement) == []
        before = {p.currency: p for p in self.done[-1][1].currencies} if self.done else {}
        for part in statement.currencies:
            mine = [row for row in booked if row.currency == part.currency]
            opening = before[part.currency].total.closing_minor if part.currency in before else 0
            if not self.done:
                # What is dated before the first month is in its opening balance.
                opening = sum(row.amount_minor for row in mine if row.at < statement.from_at)
                mine = [row for row in mine if row.at >= statement.from_at]
            last_day = statement.until_at.astimezone(ZONE).date() - timedelta(days=1)
            expired = self.history.expired(part.currency, last_day, then=statement.until_at)
            expired_before = self._expired_before(part.currency, statement)
            assert part.total.opening_minor == opening - (0 if self.done else expired_before)
            assert part.total.closing_minor == self.history.worth(part.currency) - expired
            self.expired[part.currency] = expired
            lines = part.total.lines
            for kind, line in (("write_off", "written_off"), ("resolution", "adjusted")):
                assert lines[line] == sum(row.amount_minor for row in mine if row.kind == kind)
            # A side may empty a card after its last day: that is on the line of what expired, too.
            moved = sum(row.amount_minor for row in mine if row.kind in ("opening", "observed", "closed"))
            names = ("taken_over", "issued", "loaded", "refunded", "redeemed", "closed", "expired")
            assert sum(lines[n] for n in names) == moved - (expired - expired_before)
            assert sum(place.position_minor for place in part.places) == 0
            assert part.regrouped == {}
            late = [row for row in mine if row.at < statement.from_at and row.amount_minor]
            said = {n.movement_id for n in statement.late if n.currency == part.currency}
            assert {row.id for row in late if row.kind != "opening"} <= said


@given(st.lists(_step, min_size=3, max_size=40))
@settings(max_examples=HISTORIES)
def test_given_any_history_then_months_chain_and_close_to_the_hubs_balances(
    ledger: Engine, steps: list[tuple[Any, ...]]
) -> None:
    history = History(ledger)
    months = Months(history)
    for step in steps:
        if step[0] == "close":
            months.close_what_is_over()
        else:
            play(history, step)
    history.advance(70)
    months.close_what_is_over()

    # Nothing that came later has changed a closed month.
    for file, statement in months.done:
        again = close(history.keeper, statement.period)
        assert again.to_file() == file
        assert verify(file, history.keeper, audits=False).wrong == ()
    now = draft(history.keeper, periods.month(periods.month_of(history.now, ZONE), ZONE))
    yesterday = history.now.astimezone(ZONE).date() - timedelta(days=1)
    for part in now.currencies:
        expired = history.expired(part.currency, yesterday, booked=False)
        assert part.total.closing_minor == history.worth(part.currency, booked=False) - expired
        assert part.total.closing_minor + expired == sum(
            worth for card, worth in history.balances.items() if history.currencies[card] == part.currency
        )
        shown = balances(history.keeper, periods.month(now.period, ZONE))
        owed = sum(one.closing_minor for one in shown if one.currency == part.currency)
        assert owed == part.total.closing_minor


@given(st.lists(_step, min_size=3, max_size=40))
@settings(max_examples=max(20, HISTORIES // 5))
def test_given_any_history_then_any_two_neighbouring_periods_chain(
    ledger: Engine, steps: list[tuple[Any, ...]]
) -> None:
    history = History(ledger)
    for step in steps:
        if step[0] != "close":
            play(history, step)
    days = sorted({row.at.astimezone(ZONE).date() for row in history.rows})
    # Cards expire on days on which nothing else happens, too.
    firsts = [*days[:1], *(day + DAY for day in days[:-1])]
    spans = zip(firsts, days, strict=True)
    statements = [draft(history.keeper, periods.days(first, last, ZONE)) for first, last in spans]

    for one in statements:
        assert faults(one) == []
    for currency in {row.currency for row in history.rows}:
        closing = 0
        for one in statements:
            part = next((p for p in one.currencies if p.currency == currency), None)
            if part is not None:
                assert part.total.opening_minor == closing
                closing = part.total.closing_minor
        over = min(days[-1], history.now.astimezone(ZONE).date() - DAY)
        last = history.expired(currency, over, booked=False, then=statements[-1].until_at)
        assert closing == history.worth(currency, booked=False) - last
