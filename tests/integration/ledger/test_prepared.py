"""Statements of the hot path: what goes in, comes out and fails is as by SQLAlchemy's own way."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, Select, bindparam, event, func, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from sync.ledger.database import prepared
from sync.ledger.database.engine import reading
from sync.ledger.database.tables import cards, intents, presences, sides

NOW = datetime(2026, 11, 29, 12, 30, 15, 250_000, tzinfo=UTC)
ADD_CARD = insert(cards).returning(cards.c.id)
ADD_CARDS = insert(cards)
CARD = {
    "currency": "NOK",
    "balance_minor": 50_000,
    "status": "active",
    "expires_on": date(2027, 3, 31),
    "created_at": NOW,
}
SELECT_CARD = select(cards).where(cards.c.id == bindparam("card"))
SET_BALANCE = update(cards).where(cards.c.id == bindparam("card")).values(balance_minor=bindparam("minor"))


def made(engine: Engine, **columns: Any) -> int:
    with engine.begin() as connection:
        (row,) = prepared.rows(connection, ADD_CARD, {**CARD, **columns})
    card_id: int = row["id"]
    return card_id


def test_given_a_row_then_it_reads_as_by_sqlalchemy(engine: Engine) -> None:
    card_id = made(engine)

    with reading(engine) as connection:
        ours = prepared.row(connection, SELECT_CARD, {"card": card_id})
        theirs = connection.execute(SELECT_CARD, {"card": card_id}).mappings().one()

    assert ours == dict(theirs)
    assert ours["expires_on"] == date(2027, 3, 31)
    assert ours["created_at"] == NOW
    assert ours["held"] is False


def test_given_columns_that_are_left_out_then_they_have_their_defaults(engine: Engine) -> None:
    card_id = made(engine)
    intent = {
        "marker": "gs-1",
        "card_id": card_id,
        "side": "flow",
        "sequence": 1,
        "kind": "debit",
        "amount_minor": -500,
        "state": "planned",
        "progress": {"order_uid": "é"},
        "created_at": NOW,
    }

    with engine.begin() as connection:
        prepared.change(connection, insert(intents), intent)
        (row,) = prepared.rows(connection, select(intents), {})

    assert (row["progress"], row["doubted"], row["landings"]) == ({"order_uid": "é"}, False, 0)


def test_given_a_column_that_only_the_parameters_name_then_it_is_written(engine: Engine) -> None:
    card_id = made(engine)

    with engine.begin() as connection:
        changed = prepared.change(connection, SET_BALANCE, {"card": card_id, "minor": 1, "behind": True})
        row = prepared.row(connection, SELECT_CARD, {"card": card_id})

    assert changed == 1
    assert row is not None
    assert (row["balance_minor"], row["behind"]) == (1, True)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 130])
def test_given_any_number_of_values_then_each_is_found_once(engine: Engine, count: int) -> None:
    ids = [made(engine) for _ in range(count + 1)]

    def some(places: int) -> Select[tuple[int]]:
        return select(cards.c.id).where(prepared.any_of(cards.c.id, "card", places))

    with engine.begin() as connection:
        rows = prepared.rows_among(connection, some, "card", ids[:count])

    assert sorted(row["id"] for row in rows) == ids[:count]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("count", [1, 50, 101])
def test_given_many_rows_then_each_is_added_as_one_is_and_in_order(
    engine: Engine, watched: bool, count: int
) -> None:
    expiries = [CARD["expires_on"] if minor % 2 else None for minor in range(count)]
    many = [tuple({**CARD, "balance_minor": n, "expires_on": day}.values()) for n, day in enumerate(expiries)]

    def note(*_: Any) -> None:
        pass

    if watched:
        event.listen(engine, "before_cursor_execute", note)
    try:
        with engine.begin() as connection:
            prepared.add_each(connection, ADD_CARDS, list(CARD), many)
            prepared.add_each(connection, ADD_CARDS, list(CARD), [])
    finally:
        if watched:
            event.remove(engine, "before_cursor_execute", note)

    with reading(engine) as connection:
        rows = connection.execute(select(cards).order_by(cards.c.id)).mappings().all()
    assert [row["balance_minor"] for row in rows] == list(range(count))
    assert [row["expires_on"] for row in rows] == expiries
    assert {row["created_at"] for row in rows} == {NOW}
    assert {row["fencing"] for row in rows} == {0}


def test_given_columns_in_another_order_then_each_value_is_in_its_own(engine: Engine) -> None:
    turned = dict(reversed(CARD.items()))

    with engine.begin() as connection:
        prepared.add_each(connection, ADD_CARDS, list(turned), [tuple(turned.values())])

    with reading(engine) as connection:
        row = connection.execute(select(cards)).mappings().one()
    assert {name: row[name] for name in CARD} == CARD


@pytest.mark.parametrize("place", [0, 59])
def test_given_many_rows_of_which_the_database_refuses_one_then_none_stays(
    engine: Engine, place: int
) -> None:
    bad = [tuple({**CARD, "status": None if n == place else "active"}.values()) for n in range(60)]

    with pytest.raises(IntegrityError), engine.begin() as connection:
        prepared.add_each(connection, ADD_CARDS, list(CARD), bad)

    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(cards)).scalar_one() == 0


def test_given_a_row_that_the_database_refuses_then_the_error_is_sqlalchemys(engine: Engine) -> None:
    with pytest.raises(IntegrityError) as refused, engine.begin() as connection:
        prepared.change(connection, insert(sides), {"name": "flow", "identity": None, "currency": "NOK"})

    assert str(refused.value.statement).startswith("INSERT INTO sides")
    assert refused.value.params is None


def test_given_a_transaction_that_fails_then_nothing_of_it_stays(engine: Engine) -> None:
    card_id = made(engine)

    def change_twice() -> None:
        with engine.begin() as connection:
            prepared.change(connection, SET_BALANCE, {"card": card_id, "minor": 7})
            prepared.change(connection, SET_BALANCE, {"card": card_id, "minor": -7})

    with pytest.raises(IntegrityError):
        change_twice()

    with reading(engine) as connection:
        row = prepared.row(connection, SELECT_CARD, {"card": card_id})
    assert row is not None
    assert row["balance_minor"] == 50_000


def test_given_a_connection_that_is_gone_then_the_next_transaction_has_another(engine: Engine) -> None:
    if engine.dialect.name != "postgresql":
        pytest.skip("only a server can end a connection")
    card_id = made(engine)
    own = select(func.pg_backend_pid().label("pid"))

    def lose_connection() -> None:
        with engine.begin() as connection:
            (row,) = prepared.rows(connection, own, {})
            with engine.begin() as other:
                other.execute(select(func.pg_terminate_backend(row["pid"])))
            prepared.row(connection, SELECT_CARD, {"card": card_id})

    with pytest.raises(OperationalError):
        lose_connection()

    with engine.begin() as connection:
        assert prepared.row(connection, SELECT_CARD, {"card": card_id}) is not None


def test_given_somebody_who_listens_then_each_statement_is_told_of(engine: Engine) -> None:
    told: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        told.append(statement)

    card_id = made(engine)
    event.listen(engine, "before_cursor_execute", note)
    try:
        with engine.begin() as connection:
            prepared.change(connection, SET_BALANCE, {"card": card_id, "minor": 1})
            found = prepared.row(connection, SELECT_CARD, {"card": card_id})
    finally:
        event.remove(engine, "before_cursor_execute", note)

    assert [statement.split()[0] for statement in told] == ["UPDATE", "SELECT"]
    assert found is not None
    assert found["balance_minor"] == 1


@pytest.mark.parametrize("values", [["a"], ["a", "b"]])
def test_given_a_statement_whose_text_depends_on_its_values_then_it_is_refused(
    engine: Engine, values: list[str]
) -> None:
    query = select(presences).where(presences.c.side.in_(values))

    with pytest.raises(ValueError, match="depends on its parameters"), engine.begin() as connection:
        prepared.rows(connection, query, {})
