"""Values in the database that nothing of giftsync's could have written: one bad row stops nobody else."""

from __future__ import annotations

import pytest

from sync.ledger.hub.events import Events, Webhook
from sync.support import notices
from sync.support.notices import Notices
from sync.support.senders import Notice
from tests.integration.shop import FLOW, SHOPIFY, Shop

OTHER = "5000600070008000"

ANYWHERE = [
    "UPDATE feed_cursors SET cursor = cursor || 'x'",
    "UPDATE feed_cursors SET cursor = 'nonsense'",
    "UPDATE feed_cursors SET cursor = '[]'",
    "UPDATE feed_cursors SET cursor = '{}'",
    "UPDATE marks SET value = value || 'x'",
    "UPDATE marks SET value = 'nonsense'",
    "UPDATE marks SET value = '99999999999999999999999999'",
    "UPDATE poll_populations SET population = '{}'",
    "UPDATE poll_populations SET population = '[1]', rates = 'x'",
    "DELETE FROM origins",
]
#: SQLite keeps any text in any column; PostgreSQL refuses these.
ON_SQLITE = [
    "UPDATE sides SET first_seen_at = 'once'",
    "UPDATE cards SET created_at = 'once' WHERE id = 1",
    "UPDATE cards SET due_at = 'soon' WHERE id = 1",
    "UPDATE polls SET asked_at = 'once'",
    "UPDATE runs SET started_at = 'once', counts = '{'",
    "UPDATE receipt_lines SET at = 'once'",
    "UPDATE intents SET created_at = 'once', ended_at = 'then' WHERE card_id = 1",
]
#: Of the card itself: it is held, and the other one goes on.
OF_THE_CARD = [
    "UPDATE presences SET shadow_expires_on = 'never' WHERE card_id = 1",
    "UPDATE cards SET expires_on = '2028-02-30' WHERE id = 1",
]


@pytest.fixture
def two(shop: Shop) -> Shop:
    """Cards worth 100.00 (1) and 50.00 (2), in step after a pass of the worker."""
    shop.in_step(10_000)
    shop.in_step(5_000, OTHER)
    shop.sync()
    return shop


def only_sqlite(shop: Shop) -> None:
    if shop.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL has typed columns")


@pytest.mark.parametrize("statement", [*ANYWHERE, *ON_SQLITE])
def test_given_a_value_that_cannot_be_read_then_a_pass_brings_every_card_in_step(
    two: Shop, statement: str
) -> None:
    if statement in ON_SQLITE:
        only_sqlite(two)
    two.by_hand(statement)
    two.move(FLOW, -1_000)
    two.move(SHOPIFY, -700, OTHER)

    two.sync()

    assert two.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert two.shown(OTHER) == {FLOW: 4_300, SHOPIFY: 4_300}


@pytest.mark.parametrize("statement", OF_THE_CARD)
def test_given_a_card_s_row_that_cannot_be_read_then_that_card_is_held_and_the_other_goes_on(
    two: Shop, statement: str
) -> None:
    only_sqlite(two)
    two.by_hand(statement)
    two.move(FLOW, -1_000)
    two.move(FLOW, -700, OTHER)

    two.sync()

    assert two.shown() == {FLOW: 9_000, SHOPIFY: 10_000}
    assert two.shown(OTHER) == {FLOW: 4_300, SHOPIFY: 4_300}
    assert [row["card_id"] for row in two.rows("conflicts", kind="tampered")] == [1]


def test_given_marks_that_cannot_be_read_then_digests_and_events_begin_anew(two: Shop) -> None:
    told: list[Notice] = []

    class Reader:
        def send(self, notice: Notice) -> None:
            told.append(notice)

    two.by_hand(f"INSERT INTO marks (name, value, at) VALUES ('{notices.CURSOR}', '[1]', CURRENT_TIMESTAMP)")
    two.by_hand("INSERT INTO marks (name, value, at) VALUES ('api events', 'a b c d', CURRENT_TIMESTAMP)")
    events = Events(two.engine, two.vault)
    events.add(Webhook("w1", "https://example.com/x", "secret", (), two.clock()))

    assert not Notices(two.engine, [Reader()], two.clock, 0.0).send_due()
    events.collect(two.clock())
    two.clock.advance(3_600)
    two.move(FLOW, -1_000)
    two.sync()
    assert events.collect(two.clock()) == 1
