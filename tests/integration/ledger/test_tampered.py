"""Rows that somebody changed past giftsync: the card is held before anything is sent, and nothing hidden."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync import crashpoints
from sync.decisions.resolutions import Action
from sync.ledger.cards.append import Appender
from sync.model import Tampered
from sync.reconcile.card import prefetch, reconcile
from sync.support import cases
from sync.support.audit import FindingKind, audit
from sync.support.settle import NotResolved, Resolution, Resolved, resolve
from tests.integration.shop import FLOW, LEASE_SECONDS, SERIAL, SHOPIFY, Shop, effects
from tests.support import Crashed

OTHER = "5000600070008000"
#: Of a card's row: what the worker's claims and hints change while it is at rest.
LEASE_COLUMNS = ("lease_owner", "lease_until", "fencing", "due_at", "due_for")


@pytest.fixture
def two(shop: Shop) -> Shop:
    """A card worth 100.00 (1) and one worth 50.00 (2), in step."""
    shop.in_step(10_000)
    shop.in_step(5_000, OTHER)
    return shop


def swap(table: str, *columns: str) -> tuple[str, ...]:
    """Two cards' values in columns of their presences on the store's side change places."""
    both = f"card_id IN (1, 2) AND side = '{FLOW}'"
    copy = "CREATE TABLE copy_of_it AS SELECT card_id, " + ", ".join(columns)
    back = ", ".join(
        f"{c} = (SELECT {c} FROM copy_of_it WHERE copy_of_it.card_id = 3 - {table}.card_id)" for c in columns
    )
    return (
        f"{copy} FROM {table} WHERE {both}",
        f"UPDATE {table} SET {', '.join(f'{c} = NULL' for c in columns)} WHERE {both}",
        f"UPDATE {table} SET {back} WHERE {both}",
        "DROP TABLE copy_of_it",
    )


FORGED = (
    "INSERT INTO intents (marker, card_id, side, sequence, kind, amount_minor, note, state, progress,"
    " doubted, landings, unclear_reads, created_at) VALUES ('gs-forged', 1, 'shopify', 90, 'credit', 70000,"
    " '', 'planned', '{}', false, 0, 0, '2026-11-23 12:00:00')"
)
ADDED = (
    "INSERT INTO movements (card_id, kind, amount_minor, shadow_delta_minor, balance_after_minor, evidence,"
    " at, chain_seq, chain_hash) SELECT 1, 'resolution', 0, 0, 10000, '{}', at, 90, 'x' FROM movements"
    " WHERE card_id = 1"
)
TAMPERINGS: dict[str, tuple[str, ...]] = {
    "hub balance": ("UPDATE cards SET balance_minor = 90000 WHERE id = 1",),
    "hub balance and movement": (
        "UPDATE cards SET balance_minor = 90000 WHERE id = 1",
        "UPDATE movements SET amount_minor = 90000, balance_after_minor = 90000 WHERE card_id = 1",
    ),
    "shadow": ("UPDATE presences SET shadow_minor = 1 WHERE card_id = 1 AND side = 'shopify'",),
    "both shadows and the hub": (
        "UPDATE cards SET balance_minor = 90000 WHERE id = 1",
        "UPDATE presences SET shadow_minor = 90000 WHERE card_id = 1",
    ),
    "native ids swapped": swap("presences", "native_id"),
    "numbers swapped": swap("presences", "serial_index", "serial_sealed"),
    "look-up of a number": ("UPDATE presences SET serial_index = 'x' WHERE card_id = 1 AND side = 'flow'",),
    "a number": ("UPDATE presences SET serial_sealed = NULL WHERE card_id = 1 AND side = 'flow'",),
    "last characters": ("UPDATE presences SET last_chars = '0000' WHERE card_id = 1 AND side = 'flow'",),
    "not there yet": ("UPDATE presences SET born = false WHERE card_id = 1 AND side = 'shopify'",),
    "status": ("UPDATE cards SET status = 'closed' WHERE id = 1",),
    "shadow of the status": ("UPDATE presences SET shadow_status = 'closed' WHERE card_id = 1",),
    "no such status": ("UPDATE presences SET shadow_status = 'gone' WHERE card_id = 1",),
    "expiry": ("UPDATE cards SET expires_on = '2027-01-01' WHERE id = 1",),
    "currency": ("UPDATE cards SET currency = 'JPY' WHERE id = 1",),
    "head of the chain": ("UPDATE cards SET chain_head = '' WHERE id = 1",),
    "digest": ("UPDATE cards SET digest = '' WHERE id = 1",),
    "digest of another card": (
        "UPDATE cards SET digest = (SELECT c.digest FROM cards c WHERE c.id = 2) WHERE id = 1",
    ),
    "movement deleted": ("DELETE FROM movements WHERE card_id = 1",),
    "state deleted": ("DELETE FROM intent_states WHERE card_id = 1 AND chain_seq = 5",),
    "identity deleted": ("DELETE FROM identities WHERE card_id = 1 AND chain_seq = 3",),
    "presence deleted": ("DELETE FROM presences WHERE card_id = 1 AND side = 'shopify'",),
    "movement added": (ADDED,),
    "forged intent": (FORGED,),
}


def kept(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """The whole ledger but for leases and conflicts."""
    rows = {name: shop.rows(name) for name in ("presences", "movements", "intents", "intent_states")}
    rows["identities"] = shop.rows("identities")
    rows["cards"] = [{k: v for k, v in c.items() if k not in LEASE_COLUMNS} for c in shop.rows("cards")]
    return rows


def writes(shop: Shop) -> dict[str, list[tuple[str, int]]]:
    return {name: effects(side) for name, side in shop.sides.items()}


def tampered(shop: Shop, card_id: int = 1) -> list[dict[str, Any]]:
    return [c for c in shop.rows("conflicts", kind="tampered", card_id=card_id) if c["closed_at"] is None]


def settle(shop: Shop, action: Action, card_id: int = 1, **more: Any) -> Resolved:
    (conflict,) = tampered(shop, card_id)
    preview = more.pop("preview", False)
    said = Resolution(action, "kari", "the disk was full", **more)
    return resolve(shop.link, conflict["id"], said, preview=preview)


def proved(shop: Shop) -> int:
    report = audit(shop.engine, shop.vault, shop.clock, shop.sides)
    return len(list(report))


@pytest.mark.parametrize("case", TAMPERINGS)
def test_given_rows_that_somebody_changed_then_the_card_is_held_and_nothing_is_sent_or_written_over(
    two: Shop, case: str
) -> None:
    two.move(FLOW, -1_000)
    two.by_hand(*TAMPERINGS[case])
    before, sent, calls = kept(two), writes(two), [side.usage().calls for side in two.sides.values()]

    with pytest.raises(Tampered, match="card 1"):
        two.card(1)
    lease = two.claim(1)
    assert prefetch(two.link, [lease]) == {1: {}}
    assert reconcile(two.link, lease) is None
    assert two.work(1) is None

    assert (kept(two), writes(two)) == (before, sent)
    assert [side.usage().calls for side in two.sides.values()] == calls
    (conflict,) = tampered(two)
    assert conflict["seen"] == 2
    assert conflict["summary"].startswith("The ledger's rows of ••••")
    assert SERIAL not in str(conflict)
    row = two.row("cards", id=1)
    assert (row["lease_owner"], row["due_at"]) == (None, None)
    report = audit(two.engine, two.vault, two.clock)
    assert {f.card_id for f in report} >= {1}
    assert report.exit_code == 2


def test_given_a_redemption_that_somebody_forged_then_nothing_is_given_back_for_it(two: Shop) -> None:
    two.by_hand(
        "INSERT INTO redemptions (id, card_id, kind, mode, unconfirmed, state, confirmed, asked_minor,"
        " amount_minor, balance_after_minor, reason, token_id, location, reference, made_at, ends_at,"
        " changed_at) VALUES ('red_forged', 1, 'redemption', 'authorise', 'refuse', 'pending', false, 5000,"
        " 5000, 10000, '', 't', '', '', '2026-11-23 12:00:00', '2026-11-23 12:00:00', '2026-11-23 12:00:00')",
        "UPDATE cards SET open_redemptions = 1 WHERE id = 1",
    )
    sent = writes(two)

    two.work(1)
    two.sync()

    assert len(tampered(two)) == 1
    assert (two.row("cards", id=1)["balance_minor"], writes(two)) == (10_000, sent)
    settle(two, Action.VALUE, value_minor=10_000)
    two.work_until_quiet(1)
    assert two.row("redemptions", id="red_forged")["state"] == "refused"
    assert two.shown() == {FLOW: 10_000, SHOPIFY: 10_000}


def test_given_native_ids_swapped_then_a_pass_moves_no_money_between_the_two_cards(two: Shop) -> None:
    two.by_hand(*TAMPERINGS["native ids swapped"])
    two.move(FLOW, -1_000)
    two.move(SHOPIFY, -500, OTHER)
    before, sent = kept(two), writes(two)

    two.sync()

    assert (kept(two), writes(two)) == (before, sent)
    assert len(tampered(two, 1)) == len(tampered(two, 2)) == 1


@pytest.mark.parametrize("point", ["reconcile.observed", "execute.sent", "execute.called"])
@pytest.mark.parametrize("case", ["hub balance", "head of the chain", "digest"])
def test_given_a_balance_that_is_changed_under_a_running_worker_then_it_is_never_paid_out(
    two: Shop, point: str, case: str
) -> None:
    two.move(FLOW, -1_000)
    struck: list[str] = []

    def strike(reached: str) -> None:
        if reached == point and not struck:
            struck.append(point)
            two.by_hand(*TAMPERINGS[case])

    crashpoints.install(strike)
    try:
        two.work(1)
    finally:
        crashpoints.install(None)
    two.clock.advance(LEASE_SECONDS + 1)
    two.sync()

    assert struck == [point]
    assert len(tampered(two)) == 1
    assert two.shown()[FLOW] == 9_000
    assert two.shown()[SHOPIFY] in (10_000, 9_000)  # Before the debit, or after it; never what was forged.


@pytest.mark.parametrize(
    "change",
    ["not_before = NULL", "amount_minor = -9000", 'progress = \'{"order": "1"}\'', "doubted = false"],
)
def test_given_a_request_in_doubt_that_somebody_changed_then_it_is_not_sent_again(
    shop: Shop, change: str
) -> None:
    card_id = shop.in_step()
    shop.move(FLOW, -1_000)
    shop.fail(SHOPIFY, MemoryFault.LATE)
    shop.work(card_id)
    shop.by_hand(f"UPDATE intents SET {change} WHERE state = 'in_doubt'")

    shop.clock.advance(LEASE_SECONDS)
    shop.sync()

    assert effects(shop.sides[SHOPIFY]) == [("create", 10_000)]
    assert len(tampered(shop)) == 1


def test_given_a_lease_and_a_due_date_that_somebody_changed_then_each_effect_still_lands_once(
    two: Shop,
) -> None:
    two.move(FLOW, -1_000)
    struck: list[str] = []

    def strike(point: str) -> None:
        if point == "execute.sent" and not struck:
            struck.append(point)
            two.by_hand("UPDATE cards SET lease_owner = NULL, lease_until = NULL, due_at = '2020-01-01'")
            reconcile(two.link, two.claim(1, "worker 2"))

    crashpoints.install(strike)
    try:
        two.work(1)
    finally:
        crashpoints.install(None)
    two.clock.advance(LEASE_SECONDS + 1)
    two.work_until_quiet(1)

    assert effects(two.sides[SHOPIFY]) == [("create", 10_000), ("create", 5_000), ("debit", 1_000)]
    assert two.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert proved(two) == 0


def test_given_rows_that_are_put_back_then_the_conflict_closes_by_itself_and_the_card_goes_on(
    two: Shop,
) -> None:
    two.move(FLOW, -1_000)
    two.by_hand(*TAMPERINGS["hub balance"])
    two.work(1)
    with pytest.raises(NotResolved, match=r"The hub says 900\.00"):
        settle(two, Action.RETRY)
    two.by_hand("UPDATE cards SET balance_minor = 10000 WHERE id = 1")

    two.work_until_quiet(1)

    assert tampered(two) == []
    assert two.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert proved(two) == 0


def test_given_rows_that_are_put_back_then_retry_closes_the_conflict(two: Shop) -> None:
    two.by_hand(*TAMPERINGS["shadow"])
    two.work(1)
    two.by_hand("UPDATE presences SET shadow_minor = 10000 WHERE card_id = 1")

    settle(two, Action.RETRY)

    assert tampered(two) == []
    assert two.work_until_quiet(1).in_step


@pytest.mark.parametrize(
    "case",
    [
        *("hub balance", "shadow", "both shadows and the hub", "last characters", "not there yet"),
        *("forged intent", "look-up of a number", "a number", "native ids swapped", "numbers swapped"),
        *("status", "shadow of the status", "no such status", "expiry", "currency", "head of the chain"),
    ],
)
def test_given_a_person_says_rebuild_then_the_card_is_what_its_history_says_and_the_audit_is_clean(
    two: Shop, case: str
) -> None:
    two.move(FLOW, -1_000)
    two.move(SHOPIFY, -500, OTHER)
    two.by_hand(*TAMPERINGS[case])
    two.sync()
    two.work(1)
    held = [card_id for card_id in (1, 2) if tampered(two, card_id)]
    before, sent = kept(two), writes(two)

    previewed = [settle(two, Action.REBUILD, card_id, preview=True) for card_id in held]
    assert (kept(two), writes(two)) == (before, sent)
    done = settle(two, Action.REBUILD)
    assert (done.after_minor, done.looks) == (previewed[0].after_minor, (FLOW, SHOPIFY))
    for card_id in held[1:]:
        # The other of two that were swapped has got back what is its own.
        assert settle(two, Action.RETRY, card_id).after_minor == 5_000
    two.sync()

    assert [two.card(card_id).balance_minor for card_id in (1, 2)] == [9_000, 4_500]
    assert two.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert two.shown(OTHER) == {FLOW: 4_500, SHOPIFY: 4_500}
    assert proved(two) == 0
    # Its own chain says that it was rebuilt, why, and what was found.
    (note,) = two.rows("movements", card_id=1, kind="resolution")
    assert (note["amount_minor"], note["evidence"]["why"]) == (0, "kari: the disk was full")
    assert note["evidence"]["rebuilt_after"]


@pytest.mark.parametrize(
    ("case", "kinds"),
    [
        ("hub balance and movement", {FindingKind.CHANGED}),
        ("movement added", {FindingKind.MISSING}),
        ("movement deleted", {FindingKind.MISSING}),
        ("state deleted", {FindingKind.MISSING}),
        ("digest", set()),
        ("digest of another card", set()),
    ],
)
def test_given_a_history_that_proves_nothing_then_only_a_persons_value_goes_on_and_the_audit_goes_on_to_tell(
    two: Shop, case: str, kinds: set[FindingKind]
) -> None:
    two.move(FLOW, -1_000)
    two.by_hand(*TAMPERINGS[case])
    two.work(1)
    with pytest.raises(NotResolved, match="does not fit a tampered conflict; say one of: value, retry"):
        settle(two, Action.REBUILD)
    before, sent = kept(two), writes(two)
    previewed = settle(two, Action.VALUE, value_minor=8_500, preview=True)
    assert (kept(two), writes(two)) == (before, sent)

    done = settle(two, Action.VALUE, value_minor=8_500)
    two.work_until_quiet(1)
    two.move(SHOPIFY, -200)
    two.work_until_quiet(1)

    assert done.after_minor == previewed.after_minor == 8_500
    assert two.shown() == {FLOW: 8_300, SHOPIFY: 8_300}
    assert two.card(1).in_step
    assert {f.kind for f in audit(two.engine, two.vault, two.clock, two.sides)} >= kinds


@pytest.mark.parametrize("case", ["hub balance", "status", "native ids swapped"])
def test_given_a_person_says_what_a_changed_card_is_worth_then_the_sides_follow(two: Shop, case: str) -> None:
    two.move(FLOW, -1_000)
    two.by_hand(*TAMPERINGS[case])
    two.work(1)

    settle(two, Action.VALUE, value_minor=7_000)
    two.work_until_quiet(1)

    assert two.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert two.card(1).status is CardStatus.ACTIVE
    assert {f.card_id for f in audit(two.engine, two.vault, two.clock, two.sides)} <= {2}


def test_given_a_request_that_may_still_land_then_a_value_waits_for_it(two: Shop) -> None:
    two.move(FLOW, -1_000)
    two.fail(SHOPIFY, MemoryFault.LATE)
    two.work(1)
    two.by_hand(*TAMPERINGS["hub balance and movement"])
    two.clock.advance(1)
    two.work(1)

    with pytest.raises(NotResolved, match="may still take effect"):
        settle(two, Action.VALUE, value_minor=8_500)
    two.clock.advance(LEASE_SECONDS)
    settle(two, Action.VALUE, value_minor=8_500)
    two.work_until_quiet(1)

    assert two.shown() == {FLOW: 8_500, SHOPIFY: 8_500}


@pytest.mark.parametrize("case", ["presence deleted", "identity deleted"])
def test_given_rows_that_leave_open_which_card_it_is_then_no_value_goes_on(two: Shop, case: str) -> None:
    two.by_hand(*TAMPERINGS[case])
    two.work(1)
    before = kept(two)

    for action in (Action.REBUILD, Action.VALUE):
        with pytest.raises(NotResolved, match="say one of: retry, ignore"):
            settle(two, action, value_minor=7_000)

    assert kept(two) == before
    assert len(tampered(two)) == 1


def test_given_a_number_that_is_nowhere_any_more_then_rebuild_says_so_and_changes_nothing(two: Shop) -> None:
    two.by_hand("UPDATE presences SET serial_sealed = NULL, serial_index = NULL WHERE card_id = 1")
    two.work(1)
    before = kept(two)

    with pytest.raises(NotResolved, match="say one of: retry, ignore"):
        settle(two, Action.REBUILD)
    (listed,) = cases.list_cases(two.link)
    assert "put the rows back from a backup" in listed.next_step

    assert kept(two) == before
    assert len(tampered(two)) == 1


def test_given_a_card_that_nobody_can_name_then_ignore_lets_it_alone_and_it_is_not_told_of_again(
    two: Shop,
) -> None:
    two.by_hand(*TAMPERINGS["identity deleted"])
    two.work(1)
    (listed,) = cases.list_cases(two.link)
    assert "give the customer a new card" in listed.next_step
    settle(two, Action.IGNORE, preview=True)
    assert len(tampered(two)) == 1
    before, sent = kept(two), writes(two)

    settle(two, Action.IGNORE)
    two.move(FLOW, -1_000)
    two.work(1)
    two.sync()

    assert (kept(two), writes(two)) == (before, sent)
    assert list(cases.list_cases(two.link)) == []
    assert proved(two) > 0
    two.move(FLOW, -500, OTHER)
    two.work_until_quiet(2)
    assert two.shown(OTHER) == {FLOW: 4_500, SHOPIFY: 4_500}


@pytest.mark.parametrize("point", ["commit.inside", "commit.after"])
def test_given_the_process_dies_in_a_commit_then_the_card_is_proved_all_the_same(
    two: Shop, crash_at: Callable[..., None], point: str
) -> None:
    for _ in range(6):
        two.move(FLOW, -100)
        crash_at(point)
        with suppress(Crashed):
            two.work(1)
        two.clock.advance(LEASE_SECONDS + 1)
        two.card(1)
    crash_at("nowhere")

    two.work_until_quiet(1)
    assert two.shown() == {FLOW: 9_400, SHOPIFY: 9_400}


def test_given_a_side_that_shows_another_number_under_the_id_then_nothing_moves_until_it_is_right(
    two: Shop,
) -> None:
    card = two.sides[FLOW].cards[two.native(FLOW)]
    real = card.serial
    card.serial = Serial("9999888877776666")
    card.balance_minor -= 1_000

    two.work(1)

    (conflict,) = two.rows("conflicts", kind="serial")
    assert conflict["summary"] == (
        "Under the id of ••••4000 flow shows a card that ends in ••••6666; nothing moves."
    )
    assert two.card(1).balance_minor == 10_000
    card.serial = real
    two.work_until_quiet(1)
    assert two.shown() == {FLOW: 9_000, SHOPIFY: 9_000}
    assert two.row("conflicts", kind="serial")["resolution"] == "cause gone"


# --- Ledgers from before the digest -------------------------------------------------------------------------


@pytest.fixture
def older(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A card worth 90.00 in a ledger that knew neither digests nor identities."""
    with monkeypatch.context() as patched:
        patched.setattr(Appender, "identity", lambda self, p: None)
        shop.in_step(10_000)
        shop.move(FLOW, -1_000)
        shop.work_until_quiet(1)
    shop.by_hand("UPDATE cards SET digest = ''")
    return shop


def test_given_an_older_ledger_when_a_run_begins_then_its_cards_are_verified_and_go_on(older: Shop) -> None:
    with pytest.raises(Tampered):
        older.card(1)
    older.move(SHOPIFY, -500)

    older.sync()

    assert older.shown() == {FLOW: 8_500, SHOPIFY: 8_500}
    assert proved(older) == 0
    assert len(older.rows("identities", card_id=1)) == 2


@pytest.mark.parametrize("case", ["hub balance", "shadow", "movement deleted", "head of the chain"])
def test_given_an_older_ledger_whose_rows_somebody_changed_then_that_card_is_not_adopted(
    older: Shop, case: str
) -> None:
    older.by_hand(*TAMPERINGS[case])
    older.move(FLOW, -500)
    sent = writes(older)

    older.sync()

    assert len(tampered(older)) == 1
    assert writes(older) == sent


def test_given_a_card_whose_identities_and_digest_are_taken_away_then_it_does_not_pass_for_an_older_one(
    two: Shop,
) -> None:
    two.by_hand(
        "DELETE FROM identities WHERE card_id = 1",
        "UPDATE cards SET digest = '' WHERE id = 1",
        *TAMPERINGS["native ids swapped"],
    )
    two.move(FLOW, -500)
    sent = writes(two)

    two.sync()

    assert len(tampered(two)) == 1
    assert writes(two) == sent
