"""The audit: clean on a worked ledger, and every alteration by hand is found and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from connectors.api.card import CardRef
from connectors.api.errors import NotSent, SideClosed
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from sync.ledger.proof.findings import Finding
from sync.ledger.secrets.vault import KEY_BYTES, Vault, VaultError
from sync.support.audit import Audit, FindingKind, SideTotals, Totals, audit
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop

OTHER = "5000600070008000"
CHAINED = "movements, intent_states or identities"


def run(shop: Shop, *, live: bool = False) -> tuple[list[Finding], Audit]:
    report = audit(shop.engine, shop.vault, shop.clock, shop.sides if live else None)
    return list(report), report


def named(findings: list[Finding]) -> set[tuple[FindingKind, str, str]]:
    return {(f.kind, f.table, f.row) for f in findings}


@pytest.fixture
def worked(shop: Shop) -> Shop:
    """Two cards with a history: sold, created, spent, loaded, overdrawn, doubted and refused."""
    first = shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.move(SHOPIFY, -9_000)
    shop.fail(SHOPIFY, MemoryFault.ANSWER_LOST)
    shop.fail(FLOW, MemoryFault.REFUSED)
    shop.work_until_quiet(first)
    shop.move(SHOPIFY, 4_000)
    shop.work_until_quiet(first)
    second = shop.in_step(5_000, OTHER)
    shop.move(FLOW, -1_500, OTHER)
    shop.work_until_quiet(second)
    return shop


def test_given_a_worked_ledger_then_it_is_clean_and_the_proof_adds_up(worked: Shop) -> None:
    findings, report = run(worked)

    assert findings == []
    assert (report.exit_code, report.discrepancies, report.cards) == (0, 0, 2)
    # 10,000 + 5,000 sold; 3,000, 9,000 and 1,500 spent; 4,000 loaded; 2,000 overdrawn.
    assert report.totals == {
        "NOK": Totals(
            cards=2,
            opening_minor=15_000,
            came_in_minor=4_000,
            went_out_minor=-13_500,
            written_off_minor=2_000,
            hub_minor=7_500,
            sides={
                FLOW: SideTotals(cards=2, shadow_minor=7_500),
                SHOPIFY: SideTotals(cards=2, shadow_minor=7_500),
            },
        )
    }
    assert report.totals["NOK"].sum_minor == 7_500


def test_given_promises_on_the_way_then_it_is_clean_and_they_are_counted(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.LATE)
    shop.work(card_id)

    findings, report = run(shop)

    assert findings == []
    assert report.totals["NOK"].sides[SHOPIFY] == SideTotals(
        cards=1, shadow_minor=7_000, on_the_way_minor=-3_000
    )


def test_given_an_effect_that_lands_twice_then_the_echo_keeps_it_clean(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.LATE)
    shop.work_until_quiet(card_id)
    shop.sides[SHOPIFY].land_late()
    card = shop.work_until_quiet(card_id)

    findings, _ = run(shop)

    assert findings == []
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    assert card.balance_minor == 7_000
    assert [m["kind"] for m in shop.rows("movements", side=SHOPIFY)] == ["echo"]


def test_given_a_refused_promise_that_lands_after_all_then_it_is_clean(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.move(FLOW, -3_000)
    shop.fail(SHOPIFY, MemoryFault.LATE, MemoryFault.REFUSED)
    shop.work_until_quiet(card_id)
    shop.sides[SHOPIFY].land_late()
    shop.work_until_quiet(card_id)

    findings, _ = run(shop)

    assert findings == []
    assert shop.shown() == {FLOW: 7_000, SHOPIFY: 7_000}
    states = [s["state"] for s in shop.rows("intent_states")]
    assert "refused" in states


def test_given_a_closed_card_then_its_money_ended_with_it(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    shop.sides[FLOW].set(shop.native(FLOW), status=CardStatus.CLOSED)
    shop.work_until_quiet(card_id)

    findings, report = run(shop)

    assert findings == []
    assert report.totals["NOK"].closed_minor == -10_000
    assert report.totals["NOK"].hub_minor == 0


# --- Altered by hand ----------------------------------------------------------------------------------------


def first_card(shop: Shop) -> int:
    return shop.card_id(SERIAL)


def test_given_a_movement_with_another_amount_then_the_row_and_both_amounts_are_named(worked: Shop) -> None:
    card_id = first_card(worked)
    row = next(m for m in worked.rows("movements", card_id=card_id) if m["amount_minor"] == -3_000)
    worked.by_hand(f"UPDATE movements SET amount_minor = -2000 WHERE id = {row['id']}")

    findings, report = run(worked)

    where = f"chain_seq {row['chain_seq']}"
    assert named(findings) == {
        (FindingKind.BALANCE, "cards", "balance_minor"),
        (FindingKind.BALANCE_AFTER, "movements", where),
        (FindingKind.CHANGED, "movements", where),
    }
    changed = next(f for f in findings if f.kind is FindingKind.CHANGED)
    assert changed.summary == "amount_minor in movements says -2000; -3000 was written."
    assert (changed.card_id, changed.amount_minor) == (card_id, 1_000)
    assert report.exit_code == 2


def test_given_the_newest_movement_is_deleted_then_it_is_missed(worked: Shop) -> None:
    card_id = worked.card_id(OTHER)
    row = worked.rows("movements", card_id=card_id)[-1]
    worked.by_hand(f"DELETE FROM movements WHERE id = {row['id']}")

    findings, _ = run(worked)

    assert (
        FindingKind.MISSING,
        CHAINED,
        f"chain_seq {row['chain_seq']}",
    ) in named(findings)
    assert (FindingKind.BALANCE, "cards", "balance_minor") in named(findings)
    assert {f.card_id for f in findings} == {card_id}


def test_given_the_newest_rows_are_deleted_and_the_card_made_to_fit_then_the_head_tells(shop: Shop) -> None:
    card_id = shop.in_step(10_000)
    before = shop.row("cards", id=card_id)
    shop.move(FLOW, -3_000)
    shop.work_until_quiet(card_id)
    kept = before["chain_seq"]
    last = max(
        shop.rows("movements") + shop.rows("intent_states"),
        key=lambda r: (r["chain_seq"] <= kept, r["chain_seq"]),
    )
    shop.by_hand(
        f"DELETE FROM movements WHERE chain_seq > {kept}",
        f"DELETE FROM intent_states WHERE chain_seq > {kept}",
        "DELETE FROM intents WHERE kind = 'debit'",
        f"UPDATE cards SET balance_minor = 10000, chain_seq = {kept}, chain_head = '{last['chain_hash']}'",
        "UPDATE presences SET shadow_minor = 10000",
    )

    findings, _ = run(shop)

    assert named(findings) == {(FindingKind.CHANGED, "cards", "chain_head")}


def test_given_a_forged_movement_then_it_is_named_as_added(worked: Shop) -> None:
    card_id = first_card(worked)
    seq = worked.row("cards", id=card_id)["chain_seq"] + 1
    worked.by_hand(
        "INSERT INTO movements (card_id, side, kind, amount_minor, shadow_delta_minor, balance_after_minor,"
        " evidence, at, chain_seq, chain_hash)"
        f" VALUES ({card_id}, NULL, 'resolution', 700, 0, 2700, '{{}}', '2026-11-23 12:00:00.000000',"
        f" {seq}, 'forged')",
        f"UPDATE cards SET balance_minor = balance_minor + 700 WHERE id = {card_id}",
    )

    findings, _ = run(worked)

    added = next(f for f in findings if f.kind is FindingKind.ADDED)
    assert (added.card_id, added.table, added.row) == (card_id, "movements", f"chain_seq {seq}")
    assert added.amount_minor == 700


def test_given_a_forged_movement_in_the_place_of_a_state_then_it_is_named_as_added(worked: Shop) -> None:
    card_id = first_card(worked)
    seq = worked.rows("intent_states", card_id=card_id)[-1]["chain_seq"]
    worked.by_hand(
        "INSERT INTO movements (card_id, side, kind, amount_minor, shadow_delta_minor, balance_after_minor,"
        " evidence, at, chain_seq, chain_hash)"
        f" VALUES ({card_id}, NULL, 'resolution', 700, 0, 2700, '{{}}', '2026-11-23 12:00:00.000000',"
        f" {seq}, 'forged')"
    )

    findings, _ = run(worked)

    assert (FindingKind.ADDED, "movements", f"chain_seq {seq}") in named(findings)
    assert not [f for f in findings if f.kind in (FindingKind.CHANGED, FindingKind.MISSING)]


def test_given_another_hub_balance_then_it_is_named(worked: Shop) -> None:
    card_id = first_card(worked)
    worked.by_hand(f"UPDATE cards SET balance_minor = balance_minor + 1 WHERE id = {card_id}")

    findings, _ = run(worked)

    assert (FindingKind.BALANCE, "cards", "balance_minor") in named(findings)
    wrong = next(f for f in findings if f.kind is FindingKind.BALANCE)
    assert (wrong.card_id, wrong.amount_minor) == (card_id, 1)
    assert wrong.summary == "The hub says 40.01 NOK; its movements come to 40.00 NOK."


def test_given_another_shadow_then_it_is_named(worked: Shop) -> None:
    card_id = first_card(worked)
    worked.by_hand(
        f"UPDATE presences SET shadow_minor = 5000 WHERE card_id = {card_id} AND side = '{SHOPIFY}'"
    )

    findings, _ = run(worked)

    assert named(findings) == {
        (FindingKind.SHADOW, "presences", "shadow_minor"),
        (FindingKind.OUT_OF_STEP, "presences", "shadow_minor"),
    }
    assert {(f.card_id, f.side, f.amount_minor) for f in findings} == {(card_id, SHOPIFY, 1_000)}


def test_given_an_intent_with_another_amount_then_it_and_the_amount_written_are_named(worked: Shop) -> None:
    card_id = worked.card_id(OTHER)
    intent = next(i for i in worked.rows("intents", card_id=card_id) if i["kind"] == "debit")
    worked.by_hand(f"UPDATE intents SET amount_minor = -1400 WHERE marker = '{intent['marker']}'")

    findings, _ = run(worked)

    assert named(findings) == {
        (FindingKind.SHADOW, "presences", "shadow_minor"),
        (FindingKind.CHANGED, "intents", intent["marker"]),
    }
    changed = next(f for f in findings if f.kind is FindingKind.CHANGED)
    assert changed.summary == "amount_minor in intents says -1400; -1500 was written."


def test_given_two_rows_that_changed_places_then_both_are_named(worked: Shop) -> None:
    one, other = worked.rows("movements", card_id=first_card(worked))[1:3]
    worked.by_hand(
        f"UPDATE movements SET chain_seq = -1 WHERE id = {one['id']}",
        f"UPDATE movements SET chain_seq = {one['chain_seq']} WHERE id = {other['id']}",
        f"UPDATE movements SET chain_seq = {other['chain_seq']} WHERE id = {one['id']}",
    )

    findings, _ = run(worked)

    moved = {(f.row, f.summary) for f in findings if f.kind is FindingKind.REORDERED}
    at, there = one["chain_seq"], other["chain_seq"]
    assert moved == {
        (f"chain_seq {at}", f"Row {at} of the card's chain was written at {there}."),
        (f"chain_seq {there}", f"Row {there} of the card's chain was written at {at}."),
    }


@pytest.mark.parametrize(
    ("statement", "kind", "table", "row"),
    [
        ("UPDATE movements SET evidence = '{\"x\": 1}' WHERE chain_seq = 1", "changed", "movements", "1"),
        ("UPDATE movements SET at = '2026-11-22 12:00:00' WHERE chain_seq = 1", "changed", "movements", "1"),
        ("UPDATE movements SET chain_hash = 'x' WHERE chain_seq = 1", "changed", "movements", "1"),
        ("UPDATE movements SET side = 'shopify' WHERE chain_seq = 1", "changed", "movements", "1"),
        ("UPDATE intent_states SET reason = 'x' WHERE chain_seq = 2", "changed", "intent_states", "2"),
        ("UPDATE intent_states SET state = 'refused' WHERE chain_seq = 5", "changed", "intent_states", "5"),
        ("UPDATE identities SET native_id = 'flow-2' WHERE chain_seq = 3", "changed", "identities", "3"),
        ("UPDATE identities SET last_chars = '1' WHERE chain_seq = 7", "changed", "identities", "7"),
        ("DELETE FROM identities WHERE chain_seq = 4", "missing", CHAINED, "4"),
        ("DELETE FROM movements WHERE chain_seq = 1", "missing", CHAINED, "1"),
        ("DELETE FROM intent_states WHERE chain_seq = 5", "missing", CHAINED, "5"),
    ],
)  # fmt: skip
def test_given_any_row_is_touched_then_it_is_named(
    shop: Shop, statement: str, kind: str, table: str, row: str
) -> None:
    shop.in_step(10_000)
    shop.by_hand(statement)

    findings, report = run(shop)

    chain = [f for f in findings if f.row == f"chain_seq {row}" and f.kind.value == kind]
    assert [f.table for f in chain] == [table]
    assert report.exit_code == 2


def test_given_the_last_hash_is_changed_then_only_that_is_named(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.by_hand("UPDATE identities SET chain_hash = 'x' WHERE chain_seq = 7")

    findings, _ = run(shop)

    assert [f.summary for f in findings] == [
        "The chain_hash of row 7 is not the one that was written; its content is."
    ]


def test_given_every_row_of_a_card_is_gone_then_the_opening_is_missed(shop: Shop) -> None:
    shop.in_step(10_000)
    shop.by_hand(
        "DELETE FROM intent_states",
        "DELETE FROM intents",
        "DELETE FROM movements",
        "DELETE FROM identities",
        "UPDATE cards SET balance_minor = 0, chain_seq = 0, chain_head = ''",
        "UPDATE presences SET shadow_minor = 0",
    )

    findings, _ = run(shop)

    nameless = {(FindingKind.IDENTITY, "presences", "native_id")}
    assert named(findings) == {(FindingKind.MISSING, CHAINED, "chain_seq 1")} | nameless


def test_given_rows_without_their_card_then_they_are_named(worked: Shop) -> None:
    card_id = first_card(worked)
    worked.by_hand(f"DELETE FROM cards WHERE id = {card_id}")

    findings, _ = run(worked)

    assert {f.kind for f in findings} == {FindingKind.ORPHAN}
    tables = {"presences", "movements", "intents", "intent_states", "identities"}
    assert {f.table for f in findings} == tables
    assert {f.card_id for f in findings} == {card_id}


def test_given_a_presence_is_deleted_then_what_was_on_it_is_named(worked: Shop) -> None:
    card_id = first_card(worked)
    worked.by_hand(f"DELETE FROM presences WHERE card_id = {card_id} AND side = '{FLOW}'")

    findings, _ = run(worked)

    assert {(f.kind, f.table) for f in findings} == {
        (FindingKind.ORPHAN, "movements"),
        (FindingKind.ORPHAN, "intents"),
        (FindingKind.ORPHAN, "identities"),
    }


def test_given_an_intent_in_another_state_then_it_is_named(shop: Shop) -> None:
    shop.in_step(10_000)
    marker = shop.row("intents")["marker"]
    shop.by_hand("UPDATE intents SET state = 'withdrawn'")

    findings, _ = run(shop)

    assert named(findings) == {(FindingKind.INTENT_STATE, "intents", marker)}
    assert findings[0].summary == "The intent says withdrawn; the newest state recorded for it is applied."


def test_given_another_currency_than_the_sides_then_it_is_named(shop: Shop) -> None:
    shop.worker.check_sides()
    shop.in_step(10_000)
    shop.by_hand("UPDATE cards SET currency = 'sek'")

    findings, _ = run(shop)

    assert named(findings) == {(FindingKind.CHANGED, "cards", "currency")}


def test_given_words_where_a_number_belongs_then_the_card_is_named_and_the_next_is_checked(
    worked: Shop,
) -> None:
    if worked.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL refuses words in a column of numbers")
    one, other = first_card(worked), worked.card_id(OTHER)
    worked.by_hand(
        f"UPDATE movements SET amount_minor = 'much' WHERE card_id = {one} AND chain_seq = 1",
        f"UPDATE movements SET at = 'never' WHERE card_id = {other} AND chain_seq = 1",
    )

    findings, report = run(worked)

    assert [(f.kind, f.card_id) for f in findings] == [
        (FindingKind.CHANGED, one),
        (FindingKind.CHANGED, other),
    ]
    assert report.exit_code == 2


def test_given_a_wrong_key_then_no_row_is_blamed(worked: Shop) -> None:
    with pytest.raises(VaultError, match="does not open with this key"):
        list(audit(worked.engine, Vault(bytes(KEY_BYTES)), worked.clock))


# --- Live ---------------------------------------------------------------------------------------------------


def test_given_sides_that_show_their_shadows_then_the_live_audit_is_clean(worked: Shop) -> None:
    findings, report = run(worked, live=True)

    assert findings == []
    assert report.totals["NOK"].sides[FLOW] == SideTotals(
        cards=2, shadow_minor=7_500, read=2, shown_minor=7_500
    )
    assert report.exit_code == 0


def test_given_a_customer_who_spent_meanwhile_then_it_is_listed_and_the_ledger_is_clean(worked: Shop) -> None:
    worked.move(FLOW, -500)

    findings, report = run(worked, live=True)

    assert [(f.kind, f.side, f.amount_minor) for f in findings] == [(FindingKind.MOVED_SINCE, FLOW, -500)]
    assert findings[0].summary == "flow shows 35.00 NOK: -5.00 NOK not yet taken in."
    assert report.exit_code == 0
    assert report.totals["NOK"].sides[FLOW].moved_minor == -500


def test_given_a_card_that_a_side_has_lost_then_it_is_listed(worked: Shop) -> None:
    del worked.sides[SHOPIFY].cards[worked.native(SHOPIFY)]

    findings, report = run(worked, live=True)

    assert [(f.kind, f.side) for f in findings] == [(FindingKind.ABSENT, SHOPIFY)]
    assert report.exit_code == 0


@pytest.mark.parametrize(
    "error", [NotSent("no connection"), SideClosed("the token is refused", "Renew it")], ids=type
)
def test_given_a_side_that_cannot_be_read_then_nothing_is_proven_of_it(
    worked: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worked.sides[FLOW], "observe", fails)

    findings, report = run(worked, live=True)

    assert [(f.kind, f.summary) for f in findings] == [
        (FindingKind.UNREAD, f"flow could not be read: {error}.")
    ]
    assert (report.unread, report.exit_code) == (2, 2)
    assert report.totals["NOK"].sides[SHOPIFY].read == 2


def test_given_a_card_that_is_worked_on_while_its_side_is_asked_then_nothing_is_said_of_it(
    worked: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    card_id = worked.card_id(OTHER)
    real = worked.sides[SHOPIFY].observe

    def observe(cards: Sequence[CardRef], **more: Any) -> object:
        monkeypatch.undo()
        worked.move(FLOW, -100, OTHER)
        worked.work_until_quiet(card_id)
        return real(cards, **more)

    monkeypatch.setattr(worked.sides[SHOPIFY], "observe", observe)
    report = audit(worked.engine, worked.vault, worked.clock, {SHOPIFY: worked.sides[SHOPIFY]})

    assert list(report) == []
    assert report.totals["NOK"].sides[SHOPIFY].busy == 1


def test_given_more_cards_than_a_page_then_every_one_is_checked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.ledger.proof.pages.PAGE_SIZE", 2)
    for n in range(5):
        shop.in_step(1_000, f"100020003000400{n}")
    shop.by_hand(f"UPDATE cards SET balance_minor = 999 WHERE id = {shop.card_id('1000200030004004')}")
    seen: list[int] = []

    report = replace(audit(shop.engine, shop.vault, shop.clock, shop.sides), progress=seen.append)
    findings = list(report)

    assert (report.cards, seen) == (5, [2, 4, 5])
    assert {f.kind for f in findings} == {FindingKind.BALANCE, FindingKind.OUT_OF_STEP}
