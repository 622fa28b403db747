"""Closing a month on real ledgers: the same bytes again, late news, tampering, crashes, two at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text, update

from cli.books import say_closed
from cli.output import Output
from connectors.api.card import CardRef
from connectors.api.feed import Hint, HintPage, ReceiptLine
from mappings.serials import Serial
from sync.books import periods
from sync.books.entries import Line
from sync.books.rollforward import BooksBroken
from sync.books.seal import read_file
from sync.books.statement import CurrencyPart, Statement, faults
from sync.ledger import books as ledger_books
from sync.ledger.books import Cut
from sync.ledger.database import tables
from sync.ledger.database.generation import fall_behind
from sync.ledger.secrets.vault import KEY_BYTES, Vault
from sync.support.assign import assign
from sync.support.audit import FindingKind, audit
from sync.support.bookkeeping import (
    Bookkeeper,
    BookSettings,
    NotClosed,
    balances,
    close,
    closed_months,
    draft,
    entries,
    unproved_changes,
    unread_sides,
    verify,
)
from sync.support.reconciliation import reconcile
from tests.integration.books.histories import ACCOUNTS, History
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop
from tests.support import Clock, Crashed

OSLO = ZoneInfo("Europe/Oslo")
NOVEMBER_ENDS = datetime(2026, 11, 30, 23, tzinfo=UTC)
OTHER = "1000200030004001"


@pytest.fixture
def keeper(shop: Shop) -> Bookkeeper:
    return Bookkeeper(shop.engine, shop.vault, OSLO, BookSettings(ACCOUNTS), shop.clock)


def until(clock: Clock, moment: datetime) -> None:
    clock.advance((moment - clock()).total_seconds())


def nok(statement: Statement) -> CurrencyPart:
    return next(part for part in statement.currencies if part.currency == "NOK")


def a_month(shop: Shop) -> int:
    """A card of 100.00, of which 30.00 are spent in the store and 20.00 online, in November."""
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.work_until_quiet(card_id)
    shop.move(SHOPIFY, -2_000)
    shop.work_until_quiet(card_id)
    return card_id


def test_given_a_month_that_is_over_then_it_closes_to_the_balances_and_the_same_bytes_come_again(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)

    sealed = close(keeper, "2026-11")
    shop.move(FLOW, -1_000)
    shop.work_until_quiet(card_id)

    part = nok(sealed.statement)
    assert (sealed.statement.number, part.total.opening_minor, part.total.closing_minor) == (1, 0, 5_000)
    assert part.total.lines[Line.REDEEMED] == -5_000
    assert faults(sealed.statement) == []
    assert close(keeper, "2026-11").to_file() == sealed.to_file()
    assert verify(sealed.to_file(), keeper).wrong == ()
    assert [one.sha256 for one in closed_months(keeper)] == [sealed.sha256]
    assert [e.amount_minor for _, e in entries(keeper, periods.month("2026-11", OSLO))] == [
        10_000,
        -3_000,
        -2_000,
    ]
    assert [b.closing_minor for b in balances(keeper, periods.month("2026-11", OSLO))] == [5_000]


def test_given_a_month_that_is_not_over_then_it_stays_open_until_the_last_second(
    shop: Shop, keeper: Bookkeeper
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS - timedelta(seconds=1))

    with pytest.raises(NotClosed, match=r"2026-11 is not over: it ends on 2026-12-01 at 00:00 CET"):
        close(keeper, "2026-11")
    assert closed_months(keeper) == []
    shop.clock.advance(1)
    assert close(keeper, "2026-11").statement.number == 1


def test_given_months_then_they_close_one_after_the_other(shop: Shop, keeper: Bookkeeper) -> None:
    a_month(shop)
    until(shop.clock, datetime(2027, 2, 10, tzinfo=UTC))
    close(keeper, "2026-11")

    with pytest.raises(NotClosed, match="2026-12 comes first"):
        close(keeper, "2027-01")
    with pytest.raises(NotClosed, match="the books begin with 2026-11"):
        close(keeper, "2026-10")
    december = close(keeper, "2026-12").statement

    assert december.number == 2
    assert december.previous is not None
    assert december.previous.sha256 == close(keeper, "2026-11").sha256
    assert nok(december).total.opening_minor == nok(december).total.closing_minor == 5_000


def test_given_news_that_come_after_the_close_then_they_are_a_correction_in_the_next_month(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    until(shop.clock, NOVEMBER_ENDS - timedelta(hours=1))
    shop.move(FLOW, -700)
    shop.intake.take_in(FLOW, "test", _payment(shop, -700), shop.clock(), tells_changes=True)
    until(shop.clock, NOVEMBER_ENDS + timedelta(hours=1))
    november = close(keeper, "2026-11")
    shop.work_until_quiet(card_id)

    until(shop.clock, datetime(2027, 1, 2, tzinfo=UTC))
    december = close(keeper, "2026-12").statement

    assert nok(november.statement).total.closing_minor == 5_000
    assert nok(december).total.lines[Line.REDEEMED] == -700
    assert [(n.amount_minor, n.belongs_to) for n in december.late] == [
        (-700, NOVEMBER_ENDS - timedelta(hours=1))
    ]
    assert (nok(december).late_count, nok(december).late_minor) == (1, -700)
    assert verify(november.to_file(), keeper).wrong == ()


def _payment(shop: Shop, amount_minor: int) -> HintPage:
    ref = CardRef(shop.native(FLOW), Serial(SERIAL))
    line = ReceiptLine(f"r{amount_minor}", shop.clock(), amount_minor, "payment", "7", "7-1", "Storgata", "1")
    return HintPage([Hint(ref, "test", SERIAL[-4:], line=line)], "1")


def test_given_a_row_written_late_by_a_clock_that_is_behind_then_the_closed_month_stays_as_it_is(
    engine: Engine,
) -> None:
    history = History(engine)
    card_id = history.meet(FLOW, 10_000)
    history.now = datetime(2026, 2, 1, 12, tzinfo=UTC)
    january = close(history.keeper, "2026-01")
    history.move(card_id, {FLOW: -2_500}, days_late=3)
    history.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    february = close(history.keeper, "2026-02").statement

    assert close(history.keeper, "2026-01").to_file() == january.to_file()
    assert verify(january.to_file(), history.keeper, audits=False).wrong == ()
    assert nok(february).total.opening_minor == 10_000
    assert nok(february).total.closing_minor == 7_500
    assert [(n.amount_minor, n.belongs_to.day) for n in february.late] == [(-2_500, 29)]


def test_given_an_expiry_date_that_changes_after_the_close_then_the_next_month_corrects_it(
    engine: Engine,
) -> None:
    history = History(engine)
    card_id = history.meet(FLOW, 10_000)
    history.meet(FLOW, 700)
    history.expire(card_id, date(2026, 1, 20))
    history.now = datetime(2026, 2, 1, 12, tzinfo=UTC)
    january = close(history.keeper, "2026-01")
    history.expire(card_id, date(2027, 1, 20))
    history.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    february = close(history.keeper, "2026-02")

    one, two = nok(january.statement), nok(february.statement)
    assert (one.total.lines[Line.EXPIRED], one.total.closing_minor, one.expired_minor) == (
        -10_000,
        700,
        10_000,
    )
    assert (two.total.opening_minor, two.total.lines[Line.EXPIRED]) == (700, 10_000)
    assert (two.total.closing_minor, two.expired_minor) == (10_700, 0)
    assert [(n.amount_minor, n.belongs_to.day) for n in february.statement.late] == [(10_000, 20)]
    for sealed in (january, february):
        assert close(history.keeper, sealed.statement.period).to_file() == sealed.to_file()
        assert verify(sealed.to_file(), history.keeper, audits=False).wrong == ()
    with engine.begin() as connection:
        connection.execute(text("UPDATE expiries SET card_id = 2 WHERE number = 1"))
    wrong = verify(january.to_file(), history.keeper, audits=False).wrong
    assert any("keeps as expired" in words for words in wrong)


@pytest.mark.postgres
def test_given_an_expiry_date_that_was_changed_since_then_a_draft_of_then_has_the_old_one(
    engine: Engine,
) -> None:
    history = History(engine)
    card_id = history.meet(FLOW, 10_000)
    history.expire(card_id, date(2026, 1, 20))
    history.now = datetime(2026, 2, 5, 12, tzinfo=UTC)
    history.expire(card_id, date(2026, 2, 10))
    history.expire(card_id, date(2027, 1, 20))
    history.now = datetime(2026, 3, 9, 12, tzinfo=UTC)

    january, february = (draft(history.keeper, periods.month(f"2026-0{n}", OSLO)) for n in (1, 2))

    one, two = nok(january), nok(february)
    assert (one.total.lines[Line.EXPIRED], one.total.closing_minor, one.expired_minor) == (-10_000, 0, 10_000)
    assert (two.total.opening_minor, two.total.lines[Line.EXPIRED]) == (0, 10_000)
    assert (two.total.closing_minor, two.expired_minor) == (10_000, 0)
    assert [(n.amount_minor, n.belongs_to.day) for n in february.late] == [(10_000, 20)]
    assert [b.closing_minor for b in balances(history.keeper, periods.month("2026-02", OSLO))] == [10_000]
    booked = entries(history.keeper, periods.days(date(2026, 1, 15), date(2026, 1, 31), OSLO))
    assert [(e.line, e.amount_minor) for _, e in booked] == [(Line.EXPIRED, -10_000)]


def test_given_a_closed_month_and_news_of_it_then_its_draft_says_what_the_statement_says(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History(engine)
    card_id = history.meet(FLOW, 10_000)
    history.now = datetime(2026, 2, 2, 12, tzinfo=UTC)
    january = close(history.keeper, "2026-01").statement
    history.move(card_id, {FLOW: -2_500}, days_late=5)

    say_closed(january, draft(history.keeper, periods.month("2026-01", OSLO)), Output(as_json=False))

    assert " ".join(capsys.readouterr().out.split()) == (
        "2026-01 is closed. Statement 1 says: 100.00 NOK are owed on 1 card. This draft has what came later, "
        "too, which the next statement books as late news."
    )


@pytest.mark.postgres
@pytest.mark.parametrize("late_days", [1, 24])
def test_given_expiry_dates_that_changed_since_the_month_then_it_closes_as_it_would_have_at_its_end(
    engine: Engine, late_days: int
) -> None:
    history = History(engine)
    extended, shortened, met_expired = (history.meet(FLOW, amount) for amount in (10_000, 700, 90))
    history.expire(extended, date(2026, 1, 20))
    history.expire(shortened, date(2027, 1, 20))
    history.expire(met_expired, date(2025, 12, 1))
    history.now = datetime(2026, 2, 1, 6, tzinfo=UTC)
    history.expire(extended, date(2027, 1, 20))
    history.expire(shortened, date(2026, 1, 20))
    history.expire(met_expired, None)
    history.advance(late_days)

    january = nok(close(history.keeper, "2026-01").statement)

    assert (january.total.opening_minor, january.total.closing_minor) == (0, 700)
    assert (january.total.lines[Line.EXPIRED], january.expired_minor) == (-10_090, 10_090)
    history.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    february = nok(close(history.keeper, "2026-02").statement)
    assert (february.total.opening_minor, february.total.closing_minor) == (700, 10_090)
    assert february.total.lines[Line.EXPIRED] == 10_090 - 700


def test_given_a_month_that_has_not_begun_then_its_draft_is_what_is_owed_now(engine: Engine) -> None:
    history = History(engine)
    history.expire(history.meet(FLOW, 10_000), date(2026, 3, 20))

    april = draft(history.keeper, periods.month("2026-04", OSLO))

    part = nok(april)
    assert (part.total.opening_minor, part.total.closing_minor, april.late) == (10_000, 10_000, ())
    assert not any(part.total.lines.values())


def test_given_expired_cards_that_stay_owed_then_they_are_told_and_owed(engine: Engine) -> None:
    history = History(engine, BookSettings(ACCOUNTS, expiry_ends_debt=False))
    history.expire(history.meet(FLOW, 10_000), date(2026, 1, 20))
    history.now = datetime(2026, 2, 1, 12, tzinfo=UTC)

    january = close(history.keeper, "2026-01").statement

    assert (nok(january).total.closing_minor, nok(january).expired_minor) == (10_000, 10_000)
    assert january.rules.expired_cards == "stay_owed"


@pytest.mark.parametrize("point", ["close.before", "close.after"])
def test_given_a_crash_while_a_month_is_closed_then_the_next_run_has_one_statement(
    shop: Shop, keeper: Bookkeeper, crash_at: Callable[..., None], point: str
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    crash_at(point)
    with pytest.raises(Crashed):
        close(keeper, "2026-11")
    kept = [one.to_file() for one in closed_months(keeper)]

    shop.clock.advance(60)
    sealed = close(keeper, "2026-11")

    assert [one.to_file() for one in closed_months(keeper)] == [sealed.to_file()]
    assert kept in ([], [sealed.to_file()])
    assert len(kept) == (point == "close.after")
    assert verify(sealed.to_file(), keeper).wrong == ()


def test_given_two_that_close_at_once_then_both_have_the_same_statement(
    shop: Shop, keeper: Bookkeeper
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    together = threading.Barrier(2)

    def run(seconds: int) -> bytes:
        together.wait(timeout=30)
        mine = replace(keeper, clock=lambda: shop.clock() + timedelta(seconds=seconds))
        return close(mine, "2026-11").to_file()

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(run, (1, 2))

    assert one == other
    assert len(closed_months(keeper)) == 1


def test_given_a_row_that_is_changed_after_the_close_then_verify_says_which(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    file = close(keeper, "2026-11").to_file()
    m, c = tables.movements, tables.cards
    with shop.engine.begin() as connection:
        connection.execute(
            update(m).where(m.c.card_id == card_id, m.c.amount_minor == -3_000).values(amount_minor=-2_000)
        )
        connection.execute(update(c).values(balance_minor=c.c.balance_minor + 1_000))

    wrong = " ".join(verify(file, keeper).wrong)

    assert "closes with 5000 NOK in minor units; the same rows come to 6000 today, +1000" in wrong
    assert f"on card {card_id}: amount_minor in movements says -2000; -3000 was written." in wrong
    until(shop.clock, datetime(2027, 1, 2, tzinfo=UTC))
    with pytest.raises(BooksBroken, match="rows of a closed month were changed"):
        close(keeper, "2026-12")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "by_hand",
    [
        """UPDATE closes SET content = replace(content, '"closing_minor":5000', '"closing_minor":4000')""",
        "UPDATE closes SET last_movement = 1",
        "UPDATE closes SET period = '2026-12'",
        "UPDATE closes SET number = 2",
    ],
)
def test_given_a_closed_month_s_row_that_somebody_changed_then_nothing_rests_on_it(
    shop: Shop, keeper: Bookkeeper, by_hand: str
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    file = close(keeper, "2026-11").to_file()

    with shop.engine.begin() as connection:
        connection.exec_driver_sql(by_hand)

    for month in ("2026-11", "2026-12"):
        with pytest.raises(BooksBroken, match="statement 1"):
            close(keeper, month)
    assert any("statement 1" in words for words in verify(file, keeper, audits=False).wrong)


def changed_twice(shop: Shop, card_id: int) -> None:
    """The card's last day becomes the last of November, and is put off in time."""
    for day in (date(2026, 11, 30), date(2027, 6, 30)):
        for side in (FLOW, SHOPIFY):
            shop.sides[side].cards[shop.native(side)].expires_on = day
        shop.work_until_quiet(card_id)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE card_changes SET at = '2026-12-15 12:00:00.000000' WHERE id = 2",
        "DELETE FROM card_changes WHERE id = 1",
        (
            "INSERT INTO card_changes (id, card_id, status_before, status, expires_before, expires_on,"
            " balance_minor, at, proof) SELECT 0, card_id, status_before, status, expires_before, expires_on,"
            " balance_minor, at, proof FROM card_changes WHERE id = 2"
        ),
    ],
)
def test_given_a_change_of_an_expiry_date_that_somebody_changed_then_verify_tells(
    shop: Shop, keeper: Bookkeeper, by_hand: str
) -> None:
    changed_twice(shop, a_month(shop))
    until(shop.clock, NOVEMBER_ENDS)
    file = close(keeper, "2026-11").to_file()
    assert verify(file, keeper).wrong == ()

    shop.by_hand(by_hand)

    assert any("rows were changed, removed or added" in words for words in verify(file, keeper).wrong)


def test_given_a_change_of_an_expiry_date_that_somebody_changed_then_its_month_is_not_closed(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    changed_twice(shop, card_id)
    until(shop.clock, NOVEMBER_ENDS)
    assert unproved_changes(keeper) == []

    shop.by_hand("UPDATE card_changes SET proof = NULL, at = '2026-12-15 12:00:00.000000' WHERE id = 2")
    assert unproved_changes(keeper) == [card_id]
    shop.by_hand("UPDATE card_changes SET proof = (SELECT proof FROM card_changes WHERE id = 1)")

    with pytest.raises(BooksBroken, match=f"expiry date of card {card_id} are not as giftsync wrote them"):
        close(keeper, "2026-11")
    (found,) = audit(shop.engine, shop.vault, shop.clock)
    assert (found.card_id, found.table, found.row) == (card_id, "card_changes", "id 2")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_given_a_change_of_an_expiry_date_that_is_gone_then_the_audit_names_the_card(shop: Shop) -> None:
    card_id = a_month(shop)
    changed_twice(shop, card_id)
    assert list(audit(shop.engine, shop.vault, shop.clock)) == []

    shop.by_hand("DELETE FROM card_changes WHERE id = 2")

    (found,) = audit(shop.engine, shop.vault, shop.clock)
    assert (found.kind, found.card_id, found.row) == (FindingKind.CHANGED, card_id, "after id 1")


def test_given_rows_that_are_gone_or_new_after_the_close_then_verify_says_how_many(
    shop: Shop, keeper: Bookkeeper
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    file = close(keeper, "2026-11").to_file()

    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE movements SET chain_hash = 'ff' WHERE amount_minor = -2000"))
    assert any(
        "not the same: rows were replaced" in words for words in verify(file, keeper, audits=False).wrong
    )
    with shop.engine.begin() as connection:
        connection.execute(text("DELETE FROM movements WHERE amount_minor = -2000"))
    gone = verify(file, keeper)
    assert any("1 were removed since" in words for words in gone.wrong)
    assert any("The audit finds" in words for words in gone.wrong)


def test_given_another_ledgers_or_an_altered_statement_then_verify_says_so(
    shop: Shop, keeper: Bookkeeper
) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    sealed = close(keeper, "2026-11")
    altered = json.loads(sealed.to_file())
    altered["statement"]["number"] = 7
    stranger = replace(keeper, vault=Vault(bytes(reversed(range(KEY_BYTES)))))

    assert verify(b"{}", keeper).wrong[0].startswith("The file is no statement of giftsync's")
    wrong = " ".join(verify(json.dumps(altered).encode(), keeper, audits=False).wrong)
    assert "not what was signed" in wrong
    assert "This ledger has no statement 7" in wrong
    wrong = " ".join(verify(sealed.to_file(), stranger, audits=False).wrong)
    assert "signed with another key" in wrong
    assert verify(sealed.to_file(), None).wrong == ()
    unnumbered = draft(keeper, periods.month("2026-11", OSLO))
    signed = replace(sealed, statement=unnumbered)
    assert read_file(signed.to_file()).statement.number == 1


def test_given_a_ledger_that_contradicts_itself_then_nothing_is_said_of_its_money(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    with shop.engine.begin() as connection:
        connection.execute(text("UPDATE cards SET balance_minor = balance_minor + 5"))

    with pytest.raises(BooksBroken, match=f"card {card_id}"):
        draft(keeper, periods.month("2026-11", OSLO))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE movements SET kind = 'gift'",
        "UPDATE movements SET at = '1970-01-01 00:00:00.000000'",
        "UPDATE movements SET at = '2999-01-01 00:00:00.000000'",
        "DELETE FROM movements",
    ],
)
def test_given_rows_that_giftsync_never_writes_then_the_card_is_named(
    shop: Shop, keeper: Bookkeeper, damage: str
) -> None:
    card_id = a_month(shop)
    with shop.engine.begin() as connection:
        connection.execute(text(damage))

    with pytest.raises(BooksBroken, match=f"card {card_id}"):
        draft(keeper, periods.month("2026-11", OSLO))


def test_given_a_clock_that_was_days_ahead_for_a_while_then_its_month_is_told_and_closed(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    shop.clock.advance(5 * 86_400.0)
    shop.move(FLOW, -1_000)
    shop.work_until_quiet(card_id)
    shop.clock.advance(-5 * 86_400.0)

    november = periods.month("2026-11", OSLO)
    assert nok(draft(keeper, november)).total.closing_minor == 4_000
    assert [b.closing_minor for b in balances(keeper, november)] == [4_000]

    until(shop.clock, NOVEMBER_ENDS)
    assert nok(close(keeper, "2026-11").statement).total.closing_minor == 4_000


def test_given_a_ledger_that_was_put_back_then_no_month_is_closed(shop: Shop, keeper: Bookkeeper) -> None:
    a_month(shop)
    until(shop.clock, NOVEMBER_ENDS)
    with shop.engine.begin() as connection:
        fall_behind(connection, "it was put back", shop.clock())

    with pytest.raises(NotClosed, match="may lack what happened since"):
        close(keeper, "2026-11")


def test_given_another_time_zone_in_the_settings_then_the_next_month_is_refused(
    shop: Shop, keeper: Bookkeeper
) -> None:
    a_month(shop)
    until(shop.clock, datetime(2027, 1, 2, tzinfo=UTC))
    close(keeper, "2026-11")

    with pytest.raises(NotClosed, match="the time zone of the link has changed"):
        close(replace(keeper, zone=ZoneInfo("America/New_York")), "2026-12")


def test_given_the_value_of_a_card_on_a_physical_one_then_it_is_no_issue_and_keeps_its_origin(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = shop.meet(SHOPIFY, 10_000)
    shop.work_until_quiet(card_id)

    done = assign(shop.link, card_id, Serial(OTHER), "anne")
    assert done.to_card is not None
    shop.work_until_quiet(done.to_card)
    shop.move(FLOW, -4_000, OTHER)
    shop.work_until_quiet(done.to_card)

    part = nok(draft(keeper, periods.month("2026-11", OSLO)))
    assert part.total.lines[Line.TRANSFERRED] == 0
    assert part.total.lines[Line.ADJUSTED] == 0
    assert part.total.closing_minor == 6_000
    assert [(p.debtor, p.creditor, p.net_minor) for p in part.pairs] == [(SHOPIFY, FLOW, 4_000)]
    assert [g.channel for g in part.groups] == [SHOPIFY]


def test_given_a_side_that_moved_since_then_the_difference_is_listed_card_by_card(
    shop: Shop, keeper: Bookkeeper
) -> None:
    card_id = a_month(shop)
    found = {one.side: one for one in reconcile(shop.engine, shop.vault, shop.clock, shop.sides)}
    assert [one.differences for one in found.values()] == [(), ()]

    shop.move(SHOPIFY, -1_500)

    found = {one.side: one for one in reconcile(shop.engine, shop.vault, shop.clock, shop.sides)}
    assert (found[FLOW].hub_minor, found[FLOW].shown_minor) == (5_000, 5_000)
    assert (found[SHOPIFY].hub_minor, found[SHOPIFY].shown_minor) == (5_000, 3_500)
    assert [(d.card_id, d.off_minor, d.why) for d in found[SHOPIFY].differences] == [
        (card_id, -1_500, "moved there since the last look")
    ]


def test_given_a_feed_that_was_not_read_to_the_months_end_then_its_side_is_named(
    shop: Shop, keeper: Bookkeeper
) -> None:
    shop.arrive(FLOW, CardRef(None, Serial(SERIAL)))
    month = periods.month("2026-11", OSLO)

    assert unread_sides(keeper, month) == [FLOW]
    until(shop.clock, NOVEMBER_ENDS)
    shop.intake.save_cursor(FLOW, "test", "2", shop.clock())
    assert unread_sides(keeper, month) == []


@pytest.mark.postgres
def test_given_a_writer_that_has_an_id_and_has_not_committed_then_the_watermark_waits_for_it(
    engine: Engine,
) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("SQLite gives ids to one writer at a time")
    history = History(engine)
    history.meet(FLOW, 100)
    found: list[int] = []
    with engine.connect() as writer:
        writer.execute(text("UPDATE movements SET kind = kind WHERE false"))  # Takes the writers' lock.
        writer.execute(
            text(
                "INSERT INTO movements (id, card_id, kind, amount_minor, shadow_delta_minor,"
                " balance_after_minor, evidence, at, chain_seq, chain_hash)"
                " SELECT 7, card_id, kind, 0, 0, 100, evidence, at, 9, '' FROM movements LIMIT 1"
            )
        )
        thread = threading.Thread(target=lambda: found.append(ledger_books.watermark(engine)))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        writer.commit()
    thread.join(30)
    assert found == [7]


@pytest.mark.postgres
def test_given_a_row_that_is_written_meanwhile_then_what_is_asked_beside_does_not_see_it_either(
    engine: Engine,
) -> None:
    history = History(engine)
    history.meet(FLOW, 100)
    cut = Cut(history.now + timedelta(days=1), 2)
    with ledger_books.streaming(engine) as connection:
        before = ledger_books.sums_by_kind(connection, cut)
        writer = threading.Thread(target=history.meet, args=(FLOW, 700))
        writer.start()
        writer.join(30)
        with ledger_books.asking_beside(engine, connection) as ask:
            beside = ask(lambda own: ledger_books.sums_by_kind(own, cut)).result()

    assert before == beside == {("NOK", "opening"): 100}
    with ledger_books.streaming(engine) as connection:
        assert ledger_books.sums_by_kind(connection, cut) == {("NOK", "opening"): 800}


@pytest.mark.postgres
def test_given_a_kind_of_movement_that_giftsync_does_not_write_then_its_card_is_named(engine: Engine) -> None:
    history = History(engine)
    card_id = history.meet(FLOW, 100)
    history.write(card_id, (("gift", FLOW, 50),))

    with pytest.raises(BooksBroken, match=f"the movements of card {card_id} do not come to its balance"):
        draft(history.keeper, periods.month("2026-01", OSLO))
