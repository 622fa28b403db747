"""The store: leases and fencing, commits whole or not at all, and what the database itself refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from connectors.api.card import CardRef, Seen
from connectors.api.effect import EffectKind
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import protocol
from sync.ledger.cards.store import AlreadyThere, Lease, Store, must_survive, random_marker
from sync.ledger.database import tables
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    IntentState,
    InvariantBroken,
    LeaseLost,
    MovementKind,
    NewConflict,
    NewIntent,
    NewMovement,
    NewResolution,
    Presence,
)
from tests.integration.shop import FLOW, LEASE_SECONDS, SERIAL, SHOPIFY, Shop, effects, later
from tests.support import Crashed


def observed(card: Card, side: str, amount_minor: int) -> Decision:
    """A decision that takes in a movement on one side."""
    balance = card.balance_minor + amount_minor
    p = card.presence(side)
    moved = replace(p, shadow_minor=p.shadow_minor + amount_minor)
    presences = tuple(moved if q.side == side else q for q in card.presences)
    movement = NewMovement(MovementKind.OBSERVED, side, amount_minor, amount_minor, balance)
    return Decision(replace(card, balance_minor=balance, presences=presences), (movement,))


# --- Leases -------------------------------------------------------------------------------------------------


def test_given_many_due_cards_then_many_threads_claim_each_once(shop: Shop) -> None:
    ids = [
        shop.store.create(first_contact(shop, FLOW, f"10002000300040{n:02}", f"x-{n}"), shop.clock())
        for n in range(40)
    ]
    shop.intake.make_due(ids, shop.clock())
    start = threading.Barrier(8)

    def claim(owner: str) -> list[Lease]:
        start.wait()
        mine: list[Lease] = []
        while leases := shop.store.claim_due(owner, shop.clock(), LEASE_SECONDS, 3):
            mine += leases
        return mine

    with ThreadPoolExecutor(8) as pool:
        claimed = [lease for mine in pool.map(claim, [f"thread {n}" for n in range(8)]) for lease in mine]

    assert sorted(lease.card_id for lease in claimed) == ids
    owners = {card["id"]: (card["lease_owner"], card["fencing"]) for card in shop.rows("cards")}
    assert owners == {lease.card_id: (lease.owner, lease.fencing) for lease in claimed}


def test_given_a_leased_card_then_nobody_else_gets_it_until_it_expires(shop: Shop) -> None:
    card_id = shop.in_step()
    first = shop.claim(card_id, "worker 1")
    shop.clock.advance(LEASE_SECONDS - 1)

    assert shop.store.claim(card_id, "worker 2", shop.clock(), LEASE_SECONDS) is None
    assert shop.store.claim_due("worker 2", shop.clock(), LEASE_SECONDS, 10) == []

    shop.clock.advance(1)
    (second,) = shop.store.claim_due("worker 2", shop.clock(), LEASE_SECONDS, 10)
    assert (second.card_id, second.owner, second.fencing) == (card_id, "worker 2", first.fencing + 1)


def test_given_a_worker_whose_card_was_taken_then_nothing_of_it_counts(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(card_id)
    stale = shop.claim(card_id, "worker 1")
    card = shop.card(card_id)
    marker = card.open_intents[0].marker
    shop.clock.advance(LEASE_SECONDS + 1)
    shop.claim(card_id, "worker 2")
    before = shop.everything()

    with pytest.raises(LeaseLost):
        shop.store.commit(stale, card, observed(card, FLOW, -1), shop.clock())
    with pytest.raises(LeaseLost):
        shop.store.renew(stale, shop.clock(), LEASE_SECONDS)
    with pytest.raises(LeaseLost):
        shop.store.save_progress(stale, card, marker, {"order": "1"})
    shop.store.release(stale, shop.clock())

    assert shop.everything() == before


def test_given_a_worker_of_the_same_name_that_was_restarted_then_the_old_one_is_fenced_off(
    shop: Shop,
) -> None:
    card_id = shop.in_step()
    stale = shop.claim(card_id, "worker 1")
    shop.clock.advance(LEASE_SECONDS + 1)
    shop.claim(card_id, "worker 1")
    card = shop.card(card_id)

    with pytest.raises(LeaseLost):
        shop.store.commit(stale, card, observed(card, FLOW, -1), shop.clock())


def test_given_a_decision_about_an_older_card_then_it_is_refused_whole(shop: Shop) -> None:
    card_id = shop.in_step()
    lease = shop.claim(card_id)
    old = shop.card(card_id)
    newer = shop.store.commit(lease, old, observed(old, FLOW, -1_000), shop.clock())
    before = shop.everything()

    with pytest.raises(LeaseLost):
        shop.store.commit(lease, old, observed(old, SHOPIFY, -1_000), shop.clock())

    assert shop.everything() == before
    assert newer.version == old.version + 1


def test_given_a_renewed_lease_then_it_lasts_from_now(shop: Shop) -> None:
    card_id = shop.in_step()
    lease = shop.claim(card_id)
    shop.clock.advance(100)

    renewed = shop.store.renew(lease, shop.clock(), LEASE_SECONDS)

    assert renewed == replace(lease, until=later(shop.clock, LEASE_SECONDS))
    assert shop.row("cards", id=card_id)["lease_until"] == renewed.until


def test_given_the_longest_waiting_first_then_that_is_the_order_of_claims(shop: Shop) -> None:
    ids = [shop.in_step(1_000, f"100020003000400{n}") for n in range(3)]
    for seconds, card_id in zip((3, 1, 2), ids, strict=True):
        shop.intake.make_due([card_id], later(shop.clock, seconds))
    shop.clock.advance(2)

    leases = shop.store.claim_due("worker 1", shop.clock(), LEASE_SECONDS, 10)

    assert [lease.card_id for lease in leases] == [ids[1], ids[2]]


@pytest.mark.parametrize(
    ("told", "at_release", "due"),
    [(None, None, None), (None, 60, 60), (5, None, 5), (5, 60, 5), (60, 5, 5)],
)
def test_given_a_hint_during_the_work_then_the_sooner_moment_survives_release(
    shop: Shop, told: float | None, at_release: float | None, due: float | None
) -> None:
    card_id = shop.in_step()
    lease = shop.claim(card_id)
    if told is not None:
        shop.intake.make_due([card_id], later(shop.clock, told))

    shop.store.release(lease, None if at_release is None else later(shop.clock, at_release))

    card = shop.row("cards", id=card_id)
    assert card["due_at"] == (None if due is None else later(shop.clock, due))
    assert (card["lease_owner"], card["lease_until"]) == (None, None)


def test_given_a_claim_then_the_hint_that_led_to_it_is_used_up(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.intake.make_due([card_id], shop.clock())

    shop.store.claim_due("worker 1", shop.clock(), LEASE_SECONDS, 1)

    assert shop.row("cards", id=card_id)["due_at"] is None


# --- Commits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["commit.before", "commit.inside"])
def test_given_a_crash_before_the_end_of_a_commit_then_nothing_has_changed(
    shop: Shop, crash_at: Callable[..., None], point: str
) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    lease = shop.claim(card_id)
    card = shop.card(card_id)
    before = shop.everything()
    decision = replace(
        observed(card, FLOW, -3_000),
        intents=(NewIntent(SHOPIFY, EffectKind.DEBIT, -3_000),),
        conflicts=(NewConflict(ConflictKind.REFUSED, "refused:flow", "Words."),),
    )
    crash_at(point)

    with pytest.raises(Crashed):
        shop.store.commit(lease, card, decision, shop.clock())

    assert shop.everything() == before


def test_given_a_crash_after_a_commit_then_all_of_it_is_there(
    shop: Shop, crash_at: Callable[..., None]
) -> None:
    card_id = shop.in_step()
    lease = shop.claim(card_id)
    card = shop.card(card_id)
    crash_at("commit.after")

    with pytest.raises(Crashed):
        shop.store.commit(lease, card, observed(card, FLOW, -3_000), shop.clock())

    assert shop.row("cards", id=card_id)["balance_minor"] == 7_000
    assert shop.rows("movements")[-1]["amount_minor"] == -3_000


def test_given_a_commit_then_what_it_returns_is_what_is_loaded(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    lease = shop.claim(card_id)
    card = shop.card(card_id)
    seen = next(iter(shop.sides[FLOW].observe([shop_ref(shop, FLOW)])))

    returned = shop.store.commit(
        lease, card, protocol.observe(card, {FLOW: seen}, shop.link.rules, shop.clock().date()), shop.clock()
    )

    assert returned == shop.card(card_id)
    assert [(i.kind, i.amount_minor) for i in returned.open_intents] == [(EffectKind.DEBIT, -3_000)]


def test_given_a_decision_that_changes_nothing_then_nothing_is_written(shop: Shop) -> None:
    card_id = shop.in_step()
    lease = shop.claim(card_id)
    card = shop.card(card_id)
    before = shop.everything()

    assert shop.store.commit(lease, card, Decision(card), shop.clock()) == card

    assert shop.everything() == before


def test_given_progress_of_an_effect_then_it_is_added_to_what_is_known(shop: Shop) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(card_id)
    lease = shop.claim(card_id)
    marker = shop.card(card_id).open_intents[0].marker

    card = shop.store.save_progress(lease, shop.card(card_id), marker, {"order": "1", "line": "2"})
    assert shop.store.save_progress(lease, card, marker, {"line": "3"}) == shop.card(card_id)

    assert dict(shop.card(card_id).open_intents[0].progress) == {"order": "1", "line": "3"}


def test_given_a_card_that_is_not_there_then_the_ledger_says_that_it_contradicts_itself(shop: Shop) -> None:
    with pytest.raises(InvariantBroken, match="card 7 is gone from the ledger"):
        shop.store.load(7)


def test_given_markers_then_each_is_random_and_can_be_found_again() -> None:
    markers = {random_marker() for _ in range(1_000)}

    assert len(markers) == 1_000
    assert all(m.startswith("gs-") and len(m) == 19 and m == m.lower() for m in markers)


# --- New cards ----------------------------------------------------------------------------------------------


def shop_ref(shop: Shop, side: str) -> CardRef:
    return CardRef(shop.native(side), Serial(SERIAL))


def first_contact(shop: Shop, side: str, serial: str, native_id: str) -> Decision:
    seen = Seen(
        native_id, 1_000, "NOK", CardStatus.ACTIVE, "active", None, serial[-4:], shop.clock(), Serial(serial)
    )
    return protocol.meet({side: seen}, (), shop.link.rules, shop.clock().date())


@pytest.mark.parametrize(
    ("serial", "native_id"),
    [("1000200030004000", "x-2"), ("1000200030009999", "x-1")],
    ids=["serial", "native"],
)
def test_given_a_presence_that_a_card_has_then_no_second_card_gets_it(
    shop: Shop, serial: str, native_id: str
) -> None:
    shop.store.create(first_contact(shop, FLOW, "1000200030004000", "x-1"), shop.clock())
    before = shop.everything()

    with pytest.raises(AlreadyThere):
        shop.store.create(first_contact(shop, FLOW, serial, native_id), shop.clock())

    assert shop.everything() == before


def test_given_the_same_serial_and_id_on_another_side_then_it_is_another_presence(shop: Shop) -> None:
    shop.store.create(first_contact(shop, FLOW, "1000200030004000", "x-1"), shop.clock())
    shop.store.create(first_contact(shop, SHOPIFY, "1000200030004000", "x-1"), shop.clock())

    assert len(shop.rows("cards")) == 2


@pytest.mark.parametrize("point", ["create.before", "create.inside"])
def test_given_a_crash_while_a_card_is_made_then_arrival_and_pool_number_are_still_there(
    shop: Shop, crash_at: Callable[..., None], point: str
) -> None:
    shop.pool.add(FLOW, [Serial("9000000000000001")])
    arrival = shop.arrive(SHOPIFY, shop.sell(SHOPIFY, 1_000))
    number = shop.pool.next_free(FLOW, None)
    assert number is not None
    crash_at(point)

    with pytest.raises(Crashed):
        shop.store.create(
            first_contact(shop, SHOPIFY, SERIAL, "shopify-1"),
            shop.clock(),
            arrival_id=arrival.id,
            pool_number_ids=[number.id],
        )

    assert shop.rows("cards") == []
    assert len(shop.rows("arrivals")) == 1
    assert shop.pool.free(FLOW) == 1


def test_given_a_pool_number_that_was_taken_meanwhile_then_no_card_is_made(shop: Shop) -> None:
    shop.pool.add(FLOW, [Serial("9000000000000001")])
    number = shop.pool.next_free(FLOW, None)
    assert number is not None
    shop.pool.retire(number, shop.clock())

    with pytest.raises(AlreadyThere, match="the pool number was allotted to another card"):
        shop.store.create(
            first_contact(shop, SHOPIFY, SERIAL, "shopify-1"), shop.clock(), pool_number_ids=[number.id]
        )

    assert shop.rows("cards") == []


# --- What the database itself refuses -----------------------------------------------------------------------


def refused(shop: Shop, statement: Any) -> str:
    before = shop.everything()
    with pytest.raises(IntegrityError) as refusal, shop.engine.begin() as connection:
        connection.execute(statement)
    assert shop.everything() == before
    return str(refusal.value.orig)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"balance_minor": -1}, "balance_is_never_negative"),
        ({"lease_owner": "worker 1"}, "a_lease_has_owner_and_end"),
        ({"status": "lost"}, "status_is_known"),
    ],
)
def test_given_a_card_that_cannot_be_then_the_database_refuses_it(
    shop: Shop, values: dict[str, object], constraint: str
) -> None:
    card_id = shop.in_step()

    assert constraint in refused(
        shop, update(tables.cards).where(tables.cards.c.id == card_id).values(**values)
    )


@pytest.mark.parametrize(
    ("kind", "amount_minor"),
    [
        ("debit", 100),
        ("debit", 0),
        ("credit", -100),
        ("credit", 0),
        ("create", -100),
        ("set_status", 100),
        ("set_expiry", -100),
        ("transfer", 0),
    ],
)
def test_given_an_amount_with_the_wrong_sign_then_the_database_refuses_the_intent(
    shop: Shop, kind: str, amount_minor: int
) -> None:
    card_id = shop.in_step()
    intent = insert(tables.intents).values(
        marker="gs-x",
        card_id=card_id,
        side=FLOW,
        sequence=9,
        kind=kind,
        amount_minor=amount_minor,
        state="planned",
        progress={},
        created_at=shop.clock(),
    )

    assert "amount_has_the_sign_of_its_kind" in refused(shop, intent)


def test_given_a_marker_or_a_place_that_is_taken_then_the_database_refuses_the_intent(shop: Shop) -> None:
    card_id = shop.in_step()
    taken = shop.row("intents")
    fresh = {**taken, "marker": "gs-new", "sequence": 9}

    again = refused(shop, insert(tables.intents).values(**{**fresh, "marker": taken["marker"]}))
    assert ("intents" in again and "marker" in again) or "pk_intents" in again
    same_place = refused(shop, insert(tables.intents).values(**{**fresh, "sequence": taken["sequence"]}))
    assert "order_within_a_card_is_total" in same_place or "intents.sequence" in same_place
    unknown = refused(shop, insert(tables.intents).values(**{**fresh, "state": "lost"}))
    assert "state_is_known" in unknown
    assert taken["card_id"] == card_id


def test_given_a_second_presence_on_a_side_then_the_database_refuses_it(shop: Shop) -> None:
    shop.in_step()
    there = shop.row("presences", side=FLOW)
    fresh = {**there, "id": 99, "native_id": "x-9", "serial_index": None, "serial_sealed": None}

    words = refused(shop, insert(tables.presences).values(**fresh))
    assert "one_presence_per_card_and_side" in words or "presences.card_id, presences.side" in words


def test_given_a_row_of_a_card_that_is_not_there_then_the_database_refuses_it(shop: Shop) -> None:
    shop.in_step()
    there = shop.row("movements")

    words = refused(shop, insert(tables.movements).values(**{**there, "id": 99, "card_id": 99}))
    assert "foreign key" in words.lower()


@pytest.mark.parametrize("table", ["movements", "intent_states"])
def test_given_a_place_in_the_chain_that_is_taken_then_the_database_refuses_the_row(
    shop: Shop, table: str
) -> None:
    shop.in_step()
    there = shop.row(table)

    words = refused(shop, insert(tables.metadata.tables[table]).values(**{**there, "id": 99}))
    assert "chain_position_is_taken_once" in words or f"{table}.chain_seq" in words


def test_given_an_open_conflict_of_a_cause_then_the_database_refuses_a_second(shop: Shop) -> None:
    card_id = shop.in_step()
    conflict = {
        "card_id": card_id,
        "kind": "refused",
        "cause": "refused:flow",
        "summary": "Words.",
        "amount_minor": 1,
        "evidence": {},
        "opened_at": shop.clock(),
        "last_seen_at": shop.clock(),
    }
    with shop.engine.begin() as connection:
        connection.execute(insert(tables.conflicts).values(**conflict))

    words = refused(shop, insert(tables.conflicts).values(**conflict))
    assert "one_open_per_card_and_cause" in words or "conflicts.cause" in words


def test_given_an_unborn_presence_then_it_needs_no_native_id(shop: Shop) -> None:
    to_create = tuple(
        Presence(SHOPIFY, None, Serial(f"100020003000400{n}"), "4000", 0, CardStatus.ACTIVE, None, born=False)
        for n in range(2)
    )
    for n, p in enumerate(to_create):
        decision = first_contact(shop, FLOW, f"100020003000400{n}", f"x-{n}")
        card = replace(decision.card, presences=(*decision.card.presences, p))
        shop.store.create(replace(decision, card=card), shop.clock())

    assert [p["native_id"] for p in shop.rows("presences", side=SHOPIFY)] == [None, None]


# --- What a power cut may undo ------------------------------------------------------------------------------


def test_given_each_step_of_an_intent_then_only_what_a_call_rests_on_survives_a_power_cut_for_sure(
    shop: Shop,
) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -1_000)
    planned = protocol.observe(
        shop.card(card_id),
        {FLOW: next(iter(shop.sides[FLOW].observe([shop_ref(shop, FLOW)])))},
        shop.link.rules,
        shop.clock().date(),
    )
    card = shop.store.commit(shop.claim(card_id), shop.card(card_id), planned, shop.clock())
    (intent,) = card.presence(SHOPIFY).open_intents

    assert not must_survive(planned)
    assert must_survive(protocol.sent(card, intent))
    assert not must_survive(protocol.land(card, intent, 1, "x"))
    said = NewResolution(1, "acknowledge", "kari", "seen")
    assert must_survive(replace(Decision(card), resolution=said))


def test_given_the_machine_lost_its_power_after_a_call_then_the_outcome_is_read_back_and_not_repeated(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is undone is the end of the log: the outcome is gone, and `sent` is not."""
    card_id = shop.in_step()
    shop.move(FLOW, -1_000)
    commit = shop.store.commit

    def until_the_outcome(lease: Lease, before: Card, decision: Decision, *more: Any) -> Card:
        if any(change.state is IntentState.APPLIED for change in decision.intent_changes):
            raise Crashed("no power")
        return commit(lease, before, decision, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", lambda self, *args: until_the_outcome(*args))
        with pytest.raises(Crashed):
            shop.work(card_id)
    shop.clock.advance(LEASE_SECONDS + 1)

    shop.sync()

    assert effects(shop.sides[SHOPIFY]).count(("debit", 1_000)) == 1
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


# --- Several cards at once ----------------------------------------------------------------------------------


def test_given_several_cards_then_they_are_read_together_as_they_are_one_by_one(shop: Shop) -> None:
    quiet, waiting, edited, illegible = (
        shop.in_step(10_000, serial)
        for serial in ("1000200030004001", "1000200030004002", "1000200030004003", "1000200030004004")
    )
    shop.move(FLOW, -1_000, "1000200030004002")
    shop.fail(SHOPIFY, MemoryFault.NOT_SENT)
    shop.work(waiting)
    with shop.engine.begin() as connection:
        connection.execute(
            update(tables.cards).where(tables.cards.c.id == edited).values(balance_minor=99_999)
        )
    ids = [quiet, waiting, edited, illegible, 4_711]

    found = shop.store.load_each(ids)

    assert list(found) == [quiet, waiting, illegible]
    assert all(found[one] == shop.store.load(one) for one in found)
    assert found[waiting].open_intents

    with shop.engine.begin() as connection:
        of_it = tables.presences.c.card_id == illegible
        connection.execute(update(tables.presences).where(of_it).values(serial_sealed=b"no seal"))

    assert list(shop.store.load_each(ids)) == [quiet, waiting]
