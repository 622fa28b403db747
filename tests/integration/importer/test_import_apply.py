"""Carrying a plan out: what both sides hold afterwards, whatever goes wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine

from connectors.api.abilities import Abilities
from connectors.api.card import CardRef
from connectors.api.effect import Applied, Effect, no_save
from connectors.api.errors import InDoubt, SideClosed, SideError
from connectors.memory import MemoryFault
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.importer.apply import Mode
from sync.importer.planfile import choose_rows
from sync.importer.report import make_report, told_rows, write_rows
from sync.importer.report_html import render_html
from sync.ledger.database.engine import LedgerUnavailable
from sync.ledger.imports.rows import Import
from sync.ledger.secrets.vault import Vault
from sync.reconcile.brakes import BrakeLimits
from sync.support.audit import audit
from tests.integration.importer.import_desk import Desk, N
from tests.integration.shop import FLOW, SHOPIFY, Shop, effects
from tests.support import Crashed

STORE = 8
ONLINE = 3
BOTH = [Mode.LIVE, Mode.BULK]


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, tmp_path)


def fill(desk: Desk) -> Import:
    return desk.fill(STORE, ONLINE)


ALL_MINOR = sum(n * 100 for n in range(1, STORE + 1)) + ONLINE * 1_000


def finished(desk: Desk) -> None:
    """Everything is on both sides once, the ledger adds up, and nobody was notified."""
    assert desk.totals() == (ALL_MINOR, ALL_MINOR)
    assert [len(side.cards) for side in desk.shop.sides.values()] == [STORE + ONLINE, STORE + ONLINE]
    assert desk.in_step()
    proof = audit(desk.shop.engine, desk.shop.vault, desk.shop.clock, desk.shop.sides)
    assert list(proof) == []
    assert desk.shop.rows("intents", kind="notify") == []


# --- Packs --------------------------------------------------------------------------------------------------


class Packing:
    """Has a side in memory take several creates with one call."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, lost: bool = False) -> None:
        self.sizes: list[int] = []
        self.side, self.lost = desk.shop.sides[SHOPIFY], lost
        monkeypatch.setattr(self.side, "abilities", Abilities(pack_creator=self))

    def pack_size(self, threads: int) -> int:
        return 3

    def create_pack(self, effects: Sequence[Effect]) -> list[Applied | SideError]:
        self.sizes.append(len(effects))
        outcomes = [self._one(effect) for effect in effects]
        lost, self.lost = self.lost, False
        return [InDoubt("no answer")] * len(effects) if lost else outcomes

    def _one(self, effect: Effect) -> Applied | SideError:
        try:
            return self.side.apply(effect, no_save)
        except SideError as error:
            return error


def test_given_a_side_that_takes_packs_then_all_cards_are_made_in_fewer_calls(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, packing = fill(desk), Packing(desk, monkeypatch)

    assert desk.apply(plan, Mode.LIVE)

    finished(desk)
    assert max(packing.sizes) == 3
    assert sum(packing.sizes) <= STORE


def test_given_a_pack_whose_answer_is_lost_then_each_of_its_cards_is_read_back_and_made_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, packing = fill(desk), Packing(desk, monkeypatch, lost=True)

    desk.apply(plan, Mode.LIVE)
    desk.apply(plan, Mode.LIVE)

    assert packing.sizes[0] == 3
    finished(desk)


# --- The good day -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", BOTH)
def test_given_a_plan_then_online_cards_come_to_the_store_first_and_store_cards_online(
    desk: Desk, mode: Mode
) -> None:
    plan = fill(desk)

    assert desk.apply(plan, mode)

    finished(desk)
    assert effects(desk.shop.sides[FLOW]) == [("create", 1_000)] * ONLINE
    sequence = [row["card_id"] for row in desk.shop.rows("intents", side=FLOW)]
    assert max(sequence) < min(row["card_id"] for row in desk.shop.rows("intents", side=SHOPIFY))
    assert {card.note for card in desk.shop.sides[FLOW].cards.values() if card.created_by} == {
        f"Shopify dd{n:02d}, Kari, #1" for n in range(ONLINE)
    }
    # The order stays known with the card, and nothing personal with the plan.
    assert {desk.shop.vault.open_words(row["holder"]) for row in desk.shop.rows("origins")} == {"Kari"}
    assert "Kari" not in str(desk.shop.rows("import_rows"))
    assert desk.imports.get(plan.id).state == "done"


@pytest.mark.parametrize("mode", BOTH)
def test_given_a_plan_that_is_done_then_doing_it_again_does_nothing(desk: Desk, mode: Mode) -> None:
    plan = fill(desk)
    desk.apply(plan, mode)
    written, before = [len(s.writes) for s in desk.shop.sides.values()], desk.shop.everything()

    assert desk.apply(plan, mode)

    assert [len(s.writes) for s in desk.shop.sides.values()] == written
    assert desk.shop.everything() == before
    assert desk.progress.made == 0
    # A new plan finds everything known, too.
    again = desk.plan(desk.folder / "cards.csv")
    assert {action for _, action in desk.actions(again)} == {"known"}


def test_given_a_limit_then_a_trial_does_so_many_and_the_rest_follows(desk: Desk) -> None:
    plan = fill(desk)
    assert not desk.apply(plan, limit=4)
    assert len(desk.shop.rows("cards")) == 4
    assert desk.apply(plan)
    finished(desk)


def test_given_lines_taken_out_of_the_plan_then_their_cards_are_left_alone(desk: Desk) -> None:
    plan = fill(desk)
    desk.take_out(lambda row: row["action"] == "create_online" and row["card"] != "••••4001")
    assert desk.apply(plan)
    assert len(desk.shop.rows("cards")) == STORE - 1
    assert Serial(N.format(1)) not in {c.serial for c in desk.shop.sides[SHOPIFY].cards.values()}


def test_given_a_pool_then_its_numbers_are_used_up_before_the_prefix(desk: Desk) -> None:
    plan = fill(desk)
    desk.shop.sides[FLOW].generate("5555000011112222")
    desk.shop.sell(FLOW, 0, "5555000011113333")
    desk.shop.pool.add(FLOW, [Serial("5555000011112222"), Serial("5555000011113333")])

    assert desk.apply(plan)

    made = {c.serial.reveal() for c in desk.shop.sides[FLOW].cards.values() if c.created_by}
    assert made == {"5555000011112222", "9900000000000001", "9900000000000002"}
    assert desk.shop.pool.free(FLOW) == 0


def test_given_no_pool_and_no_prefix_then_the_import_says_what_to_do(desk: Desk) -> None:
    plan = fill(desk)
    desk.prefix = None
    assert not desk.apply(plan)
    assert "giftsync pool add" in desk.progress.errors[0]
    desk.prefix = "9900"
    assert desk.apply(plan)
    finished(desk)


# --- What moved since the plan ------------------------------------------------------------------------------


def test_given_cards_that_moved_since_then_they_are_decided_anew_and_it_says_so(desk: Desk) -> None:
    plan = fill(desk)
    desk.shop.move(FLOW, -50, N.format(1))
    desk.shop.move(FLOW, -200, N.format(2))
    desk.shop.sides[FLOW].set(desk.shop.native(FLOW, N.format(3)), status=CardStatus.CLOSED)
    online = desk.shop.native(SHOPIFY, "aaaabbbbccccdd00")
    desk.shop.sides[SHOPIFY].move(online, -1_000)

    assert desk.apply(plan)

    assert desk.shop.shown(N.format(1)) == {FLOW: 50, SHOPIFY: 50}
    assert list(desk.shop.shown(N.format(2))) == [FLOW]
    assert list(desk.shop.shown(N.format(3))) == [FLOW]
    words = desk.words(plan)
    assert words[0] == "moved since the plan: 0.50 NOK instead of 1.00 NOK"
    assert words[1].endswith("nothing to create now (nothing on it)")
    assert words[2] == "nothing to create now (closed)"
    assert words[STORE] == "nothing to create now (nothing on it)"
    assert desk.progress.moved == 2


def test_given_cards_that_are_gone_from_the_store_then_they_are_reported(desk: Desk) -> None:
    plan = fill(desk)
    del desk.shop.sides[FLOW].cards[desk.shop.native(FLOW, N.format(1))]
    assert desk.apply(plan)
    assert desk.words(plan)[0] == "flow has no such card"


def test_given_a_store_that_lacks_most_cards_then_the_link_stops(desk: Desk) -> None:
    for n in range(1, 21):
        desk.shop.sell(FLOW, 100, N.format(n))
    plan = desk.plan(desk.write(*(f"{N.format(n)};1,00;ACTIVE" for n in range(1, 41))))
    desk.shop.sides[FLOW].cards.clear()

    assert not desk.apply(plan)

    assert "lacks 40 of 40" in desk.progress.errors[0]
    assert desk.shop.sides[SHOPIFY].cards == {}
    with pytest.raises(LedgerUnavailable, match="link is stopped"):
        desk.apply(plan)


def test_given_a_serial_that_came_up_online_since_then_it_is_compared_not_doubled(desk: Desk) -> None:
    plan = fill(desk)
    desk.shop.sell(SHOPIFY, 100, N.format(1))
    desk.shop.sell(SHOPIFY, 999, N.format(2))

    assert desk.apply(plan, Mode.BULK)

    assert desk.shop.shown(N.format(1)) == {FLOW: 100, SHOPIFY: 100}
    assert desk.shop.shown(N.format(2)) == {FLOW: 200, SHOPIFY: 999}
    assert [c["kind"] for c in desk.shop.rows("conflicts")] == ["first_contact"]
    report = make_report(desk.imports, desk.imports.get(plan.id), (FLOW, SHOPIFY), desk.shop.clock)
    assert report.conflicts == {"first_contact": (1, 799)}
    assert report.adds_up


def test_given_two_balances_from_the_start_then_a_person_decides_and_nothing_moves(desk: Desk) -> None:
    for side, minor in ((FLOW, 500), (SHOPIFY, 400)):
        desk.shop.sell(side, minor, N.format(1))
    plan = desk.plan(desk.write(f"{N.format(1)};5,00;ACTIVE"))
    assert desk.apply(plan)
    assert desk.words(plan) == ["conflict: first contact"]
    assert desk.shop.row("cards")["held"]
    assert desk.totals() == (500, 400)


# --- What goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", list(MemoryFault))
def test_given_any_fault_of_a_create_then_the_card_is_made_once(desk: Desk, fault: MemoryFault) -> None:
    plan = fill(desk)
    desk.shop.fail(SHOPIFY, fault, fault)
    desk.shop.fail(FLOW, fault)

    done = desk.apply(plan)

    if fault is MemoryFault.LATE:
        # It lands after it was read back and made again: the same marker, so the same card.
        for side in desk.shop.sides.values():
            side.land_late()
    assert done
    finished(desk)


POINTS = [
    *("batch.create", "batch.inside", "batch.commit", "batch.committed"),
    *("execute.sent", "execute.called"),
]
BULK_POINTS = [
    *("batch.create", "batch.inside", "batch.commit", "batch.committed"),
    *("mass.sent", "mass.called", "mass.started", "mass.over"),
]


@pytest.mark.parametrize(
    ("mode", "point"), [(Mode.LIVE, p) for p in POINTS] + [(Mode.BULK, p) for p in BULK_POINTS]
)
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_given_a_crash_anywhere_then_the_next_apply_finishes(
    desk: Desk, crash_after: Callable[[str, int], None], mode: Mode, point: str, skip: int
) -> None:
    plan = fill(desk)
    crash_after(point, skip)
    crashed = False
    try:
        done = desk.apply(plan, mode)
    except Crashed:
        crashed = True
        done = desk.apply(plan, mode)

    assert done, (crashed, desk.progress)
    finished(desk)


def test_given_a_crash_with_a_file_under_way_then_its_outcome_is_taken_in(
    desk: Desk, crash_after: Callable[[str, int], None]
) -> None:
    plan = fill(desk)
    crash_after("mass.started", 0)
    with pytest.raises(Crashed):
        desk.apply(plan, Mode.BULK)
    writes = len(desk.shop.sides[SHOPIFY].writes)

    assert desk.apply(plan, Mode.LIVE)

    finished(desk)
    # Nothing was looked up or made again: the file told.
    assert len(desk.shop.sides[SHOPIFY].writes) == writes
    assert all(row["doubted"] is False for row in desk.shop.rows("intents"))


def test_given_lines_without_an_outcome_then_they_are_read_back_by_their_code(desk: Desk) -> None:
    plan = fill(desk)
    desk.mass.never, desk.mass.untold = {0, 1}, {2, 3}
    assert desk.apply(plan, Mode.BULK)
    finished(desk)
    assert sum(bool(row["doubted"]) for row in desk.shop.rows("intents")) == 4


@pytest.mark.parametrize("started", [True, False])
def test_given_a_lost_answer_to_the_start_then_the_side_is_asked_whether_it_started(
    desk: Desk, started: bool
) -> None:
    plan = fill(desk)
    desk.mass.lose_start, desk.mass.starts_though_lost = True, started
    done = desk.apply(plan, Mode.BULK)
    if not started:
        assert not done
        done = desk.apply(plan, Mode.BULK)
    assert done
    finished(desk)


def test_given_outcomes_that_are_told_of_other_lines_then_none_is_believed(desk: Desk) -> None:
    plan = fill(desk)
    desk.mass.swapped = True
    assert desk.apply(plan, Mode.BULK)
    finished(desk)
    natives = {row["card_id"]: row["native_id"] for row in desk.shop.rows("presences", side=SHOPIFY)}
    for card_id, native_id in natives.items():
        made = desk.shop.sides[SHOPIFY].cards[native_id]
        assert made.serial == desk.shop.card(card_id).presence(SHOPIFY).serial


def test_given_a_side_that_closes_then_the_import_stops_and_can_go_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fill(desk)
    side = desk.shop.sides[SHOPIFY]

    def closed(*_: object) -> None:
        raise SideClosed("the token is not accepted", "Put in another.")

    with monkeypatch.context() as patch:
        patch.setattr(side, "apply", closed)
        assert not desk.apply(plan)
    assert desk.progress.errors == ["the token is not accepted. Put in another."]
    desk.shop.clock.advance(120)
    assert desk.apply(plan)
    finished(desk)


def test_given_cards_that_cannot_be_read_then_they_stay_in_the_plan(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fill(desk)
    side = desk.shop.sides[FLOW]
    real = side.lookup

    def lookup(serial: Serial) -> object:
        if serial == Serial(N.format(1)):
            raise InDoubt("no answer")
        return real(serial)

    with monkeypatch.context() as patch:
        patch.setattr(side, "lookup", lookup)
        assert not desk.apply(plan)
    assert desk.progress.unread == 1
    assert desk.imports.count_left(plan) == {"planned": (1, 100)}
    assert desk.apply(plan)
    finished(desk)


def test_given_a_store_that_is_away_then_the_import_stops_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(1, 12):
        desk.shop.sell(FLOW, 100, N.format(n))
    plan = desk.plan(desk.write(*(f"{N.format(n)};1,00;ACTIVE" for n in range(1, 12))))

    def away(_: Serial) -> object:
        raise InDoubt("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(desk.shop.sides[FLOW], "lookup", away)
        assert not desk.apply(plan)
    assert desk.progress.errors[-1].startswith("none of 11 cards could be read (no answer)")
    assert desk.apply(plan)


@pytest.mark.parametrize("mode", BOTH)
def test_given_more_money_than_was_planned_then_the_brake_stops_it_and_nothing_is_half_done(
    desk: Desk, mode: Mode
) -> None:
    plan = fill(desk)
    choose_rows(desk.path, desk.imports, plan)

    assert not desk.importer(mode, brake=BrakeLimits(cards=5, money_minor=10**9)).apply(plan)

    assert "more than 5 cards" in desk.progress.errors[0]
    assert sum(len(side.writes) for side in desk.shop.sides.values()) <= 5
    desk.shop.intake.cause_gone("brake:cards", desk.shop.clock())
    assert desk.apply(plan, mode)
    finished(desk)


def test_given_ctrl_c_then_it_stops_soon_and_goes_on_later(desk: Desk) -> None:
    plan = fill(desk)
    choose_rows(desk.path, desk.imports, plan)
    importer = desk.importer()
    importer.halt.stop.set()
    assert not importer.apply(plan)
    assert desk.apply(plan)
    finished(desk)


def test_given_an_apply_under_way_elsewhere_then_a_second_one_is_refused(desk: Desk) -> None:
    plan = fill(desk)
    choose_rows(desk.path, desk.imports, plan)
    desk.imports.take(plan, "import x another", desk.shop.clock(), alone=False)
    importer = desk.importer()
    importer.alone = False
    with pytest.raises(LedgerUnavailable, match="wait for it"):
        importer.apply(plan)
    desk.shop.clock.advance(121)
    assert importer.apply(plan)


def test_given_the_worker_met_a_card_first_then_its_row_says_known(desk: Desk) -> None:
    plan = fill(desk)
    desk.shop.worker.matcher.match(desk.shop.arrive(FLOW, desk.shop.sell(FLOW, 700, "1000200030007777")))
    ref = next(c for c in desk.shop.sides[FLOW].cards.values() if c.serial == Serial(N.format(1)))
    desk.shop.worker.matcher.match(desk.shop.arrive(FLOW, CardRef(ref.native_id, ref.serial)))
    assert desk.apply(plan)
    assert desk.words(plan)[0] == "the hub has it already"


# --- The report ---------------------------------------------------------------------------------------------


def test_given_an_import_then_the_report_adds_up_and_shows_no_number(desk: Desk, tmp_path: Path) -> None:
    head = "number;balance;status;brand;store"
    for n in range(1, 4):
        desk.shop.sell(FLOW, n * 100, N.format(n))
    file = desk.write(
        f"{N.format(1)};1,00;ACTIVE;<b>Jul</b>;=Oslo",
        f"{N.format(2)};2,00;ACTIVE;Std;Bergen",
        f"{N.format(3)};x;ACTIVE;Std;Bergen",
        head=head,
    )
    plan = desk.plan(file)
    assert desk.apply(plan)
    fresh = desk.imports.get(plan.id)

    report = make_report(desk.imports, fresh, (FLOW, SHOPIFY), desk.shop.clock, desk.shop.sides)

    assert report.adds_up
    assert [(one.name, one.balance_minor) for one in report.brands] == [("Std", 200), ("<b>Jul</b>", 100)]
    assert (report.sides[1].made_minor, report.sides[1].shows_minor) == (300, 300)
    assert report.checked is not None
    assert report.checked.shown == {FLOW: (2, 300), SHOPIFY: (2, 300)}
    page = render_html(report, told_rows(desk.imports, fresh, "reject"), iter(()))
    assert "Money in is money out" in page
    assert "&lt;b&gt;Jul" in page
    assert "cards.csv:4" in page
    assert "http" not in page
    assert write_rows(tmp_path / "r.csv", desk.imports, fresh) == 3
    table = (tmp_path / "r.csv").read_text(encoding="utf-8-sig")
    assert "'=Oslo" in table
    for n in range(1, 4):
        assert N.format(n) not in page + table


def test_given_a_movement_that_somebody_forged_then_the_report_says_that_the_sums_do_not_agree(
    desk: Desk, engine: Engine, vault: Vault
) -> None:
    plan = fill(desk)
    desk.apply(plan)
    desk.shop.by_hand("UPDATE cards SET balance_minor = balance_minor + 1 WHERE id = 1")
    report = make_report(desk.imports, desk.imports.get(plan.id), (FLOW, SHOPIFY), desk.shop.clock)
    assert not report.adds_up
    assert "do not agree" in render_html(report, iter(()), iter(()))


# --- Rows that somebody changed -----------------------------------------------------------------------------

#: What its reader had refused, the pair of another card, another number; and a row that was not planned.
CHANGED_ROWS = (
    "action = 'create_in_store', chosen = true WHERE action = 'reject'",
    (
        "action = 'adopt', online_id = (SELECT online_id FROM import_rows WHERE last_chars = 'dd00')"
        " WHERE last_chars = '4001'"
    ),
    (
        "serial_sealed = (SELECT serial_sealed FROM import_rows WHERE last_chars = '4002')"
        " WHERE last_chars = '4001'"
    ),
    "proof = NULL WHERE last_chars = '4001'",
)


@pytest.mark.parametrize("change", CHANGED_ROWS)
def test_given_a_row_of_a_plan_that_somebody_changed_then_nothing_is_done_with_it_and_the_report_says_so(
    desk: Desk, change: str
) -> None:
    # One card online may be a store card that is missing in the files: it is rejected.
    foreign = desk.shop.sell(SHOPIFY, 7_000, "1000200030008888")
    desk.shop.sides[SHOPIFY].cards[foreign.native_id or ""].sold_here = False
    plan = desk.fill(2, 1)
    choose_rows(desk.path, desk.imports, plan)
    desk.shop.by_hand(f"UPDATE import_rows SET {change}")

    assert desk.importer().apply(plan)

    changed = [row for row in desk.rows(plan) if row.outcome.startswith("left alone")]
    assert len(changed) == 1
    assert changed[0].card_id is None
    told = {one.row.id: one for one in told_rows(desk.imports, plan)}
    assert told[changed[0].id].unexpected
    # Everything else came to where it belongs, and nothing is there twice.
    assert desk.in_step()
    assert [card.balance_minor for card in desk.shop.sides[FLOW].cards.values()].count(7_000) == 0
