"""Planning an import: every card has one fate and a reason, and nothing is changed."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from connectors.memory import CAPABILITIES
from mappings.lifecycle import CardStatus
from mappings.ranges import NumberRange
from sync.importer import planfile
from sync.importer.files import FileProblem, open_card_file
from sync.importer.plan import Planner, Stopped
from sync.importer.planfile import choose_rows, import_id_of, keep_older
from sync.importer.progress import StopSignal
from sync.ledger.database.engine import LedgerUnavailable
from sync.model import FirstContact, LinkRules, SideRules
from tests.integration.importer.import_desk import Desk, N
from tests.integration.shop import FLOW, SHOPIFY, Shop

#: Store numbers by what they end in.


@pytest.fixture
def desk(shop: Shop, tmp_path: Path) -> Desk:
    return Desk(shop, tmp_path)


def test_given_store_cards_in_every_state_then_each_has_its_fate(desk: Desk) -> None:
    expired = f"{N.format(4)};5,00;ACTIVE;2020-01-01"
    file = desk.write(
        f"{N.format(1)};100,00;ACTIVE;",
        f"{N.format(2)};0,00;ACTIVE;",
        f"{N.format(3)};9,00;BLOCKED;",
        expired,
        f"{N.format(5)};0,00;CLEARED;",
        f"{N.format(6)};0,00;INACTIVE;",
        "123;5,00;ACTIVE;",
        "1" * 21 + ";5,00;ACTIVE;",
        f"{N.format(9)};5,00;SOMETIMES;",
        head="number;balance;status;validTo",
    )
    before = desk.shop.everything()

    plan = desk.plan(file)

    found = [(row.action, row.reason, row.amount_minor) for row in desk.rows(plan)]
    assert found[:8] == [
        ("create_online", "", 10_000),
        ("watch", "nothing on it", 0),
        ("watch", "suspended", 0),
        ("watch", "expired on 2020-01-01", 0),
        ("skip", "closed", 0),
        ("skip", "not sold yet", 0),
        ("reject", "the number has 3 characters; at least 8 are needed", 0),
        ("reject", "the number has 21 characters; at most 20 are allowed", 0),
    ]
    assert found[8][0] == "reject"
    assert desk.shop.everything() == before
    assert all(not side.writes for side in desk.shop.sides.values())


def test_given_online_cards_then_those_with_money_come_to_the_store(desk: Desk) -> None:
    shopify = desk.shop.sides[SHOPIFY]
    for code, minor in (("aaaabbbbccccdd01", 500), ("aaaabbbbccccdd02", 0), ("aaaabbbbccccdd03", 700)):
        shopify.sell(code, minor)
    shopify.set(desk.shop.native(SHOPIFY, "aaaabbbbccccdd03"), status=CardStatus.CLOSED)
    ours = desk.shop.in_step(800, "1000200030009999")
    foreign = shopify.sell("1000200030008888", 900)
    shopify.cards[foreign.native_id or ""].sold_here = False
    made = shopify.sell("aaaabbbbccccdd05", 900)
    shopify.cards[made.native_id or ""].created_by = "gs-another"

    plan = desk.plan()

    assert ours
    assert dict(desk.actions(plan)) == {
        "dd01": "create_in_store",
        "dd02": "skip",
        "dd03": "skip",
        "9999": "known",
        "8888": "reject",
        "dd05": "reject",
    }


def test_given_one_number_on_both_sides_then_equal_is_adopted_and_unequal_a_conflict(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    rules = {FLOW: SideRules(), SHOPIFY: SideRules()}
    for policy, unequal in ((FirstContact.ASK, "conflict"), (FirstContact.LOWER, "adopt")):
        desk = Desk(make_shop(first_contact=policy), tmp_path, rules=LinkRules(rules, policy))
        for side in (FLOW, SHOPIFY):
            desk.shop.sell(side, 500, N.format(1))
            desk.shop.sell(side, 500 if side == FLOW else 400, N.format(2))
        # It ends alike and is another card.
        desk.shop.sell(SHOPIFY, 300, "zzzzzzzzzzzz4003")
        file = desk.write(*(f"{N.format(n)};5,00;ACTIVE" for n in (1, 2, 3)))

        plan = desk.plan(file)

        assert desk.actions(plan) == [
            ("4001", "adopt"),
            ("4002", unequal),
            ("4003", "create_online"),
            ("4003", "create_in_store"),
        ]


def test_given_a_number_twice_then_equal_lines_keep_the_first_and_unequal_ones_none(desk: Desk) -> None:
    one = desk.write(
        f"{N.format(1)};5,00;ACTIVE",
        f"{N.format(1)};5,00;ACTIVE",
        f"{N.format(2)};5,00;ACTIVE",
        f"{N.format(3)};1,00;ACTIVE",
    )
    two = desk.write(f"{N.format(2)};6,00;ACTIVE", name="more.csv")

    plan = desk.plan(one, two)

    assert [(row.action, row.reason) for row in desk.rows(plan)] == [
        ("create_online", ""),
        ("reject", "the same card as on line 2 of cards.csv"),
        ("reject", "one number with different balances or statuses: line 4 of cards.csv, line 2 of more.csv"),
        ("create_online", ""),
        ("reject", "one number with different balances or statuses: line 4 of cards.csv, line 2 of more.csv"),
    ]
    assert plan.before[FLOW] == {"cards": 2, "minor": 600, "lists": 0}


def test_given_limits_then_cards_above_them_are_rejected(shop: Shop, tmp_path: Path) -> None:
    desk = Desk(shop, tmp_path, card_limit_minor=10_000, online_limit_minor=5_000)
    shop.sell(SHOPIFY, 10_001, "aaaabbbbccccdd01")
    file = desk.write(*(f"{N.format(n)};{n},00;ACTIVE" for n in (50, 51)), f"{N.format(1)};100,01;ACTIVE")
    plan = desk.plan(file)
    assert [row.action for row in desk.rows(plan)] == ["create_online", "reject", "reject", "reject"]


def test_given_a_number_that_giftsync_could_have_made_then_it_is_rejected_unless_the_hub_knows_it(
    shop: Shop, tmp_path: Path
) -> None:
    desk = Desk(shop, tmp_path, made=NumberRange("serial_prefix", "9900"))
    shop.in_step(4_000, "9900000000000002")

    plan = desk.plan(desk.write("9900000000000001;5,00;ACTIVE", "9900000000000002;40,00;ACTIVE"))

    unknown, known = desk.rows(plan)[:2]
    assert (unknown.action, "begins with 9900" in unknown.reason) == ("reject", True)
    assert known.action == "known"


def test_given_short_numbers_then_the_link_may_lengthen_them(shop: Shop, tmp_path: Path) -> None:
    sides = {name: replace(rules, lengthens=True) for name, rules in shop.link.rules.sides.items()}
    desk = Desk(shop, tmp_path, rules=replace(shop.link.rules, sides=sides))
    file = desk.write("12345;5,00;ACTIVE", "giftsync12;5,00;ACTIVE")
    assert desk.actions(desk.plan(file)) == [("2345", "create_online"), ("nc12", "create_online")]


def test_given_a_link_that_writes_nowhere_then_nothing_is_to_be_created(shop: Shop, tmp_path: Path) -> None:
    nothing = SideRules(False, False, False, False, frozenset())
    desk = Desk(shop, tmp_path, rules=LinkRules({FLOW: nothing, SHOPIFY: nothing}))
    shop.sell(SHOPIFY, 500, "aaaabbbbccccdd01")
    plan = desk.plan(desk.write(f"{N.format(1)};5,00;ACTIVE"))
    assert [row.action for row in desk.rows(plan)] == ["watch", "skip"]


def test_given_that_the_store_is_asked_then_it_is_believed_instead_of_the_file(desk: Desk) -> None:
    desk.shop.sell(FLOW, 700, N.format(1))
    desk.shop.sell(FLOW, 0, N.format(2))
    file = desk.write(*(f"{N.format(n)};5,00;ACTIVE" for n in (1, 2, 3)))

    plan = desk.plan(file, ask_pos=True)

    assert [(row.action, row.reason, row.pos_minor) for row in desk.rows(plan)] == [
        ("create_online", "", 700),
        ("watch", "nothing on it", 0),
        ("reject", "flow has no such card", 500),
    ]


def test_given_a_plan_file_then_it_shows_no_number_and_the_same_reference_each_time(desk: Desk) -> None:
    file = desk.write(f"{N.format(1)};5,00;ACTIVE")
    refs = set()
    for _ in range(2):
        desk.plan(file)
        text = desk.path.read_text(encoding="utf-8-sig")
        assert N.format(1) not in text
        (row,) = csv.DictReader(text.splitlines())
        assert (row["card"], row["to_create"], row["file"], row["line"]) == (
            "••••4001",
            "5.00",
            "cards.csv",
            "2",
        )
        refs.add(row["ref"])
    assert len(refs) == 1
    assert desk.path.stat().st_mode & 0o777 == 0o600
    sealed = desk.shop.row("import_rows")["serial_sealed"]
    assert N.format(1).encode() not in bytes(sealed)


def test_given_a_newer_plan_then_an_older_one_stays_until_somebody_drops_it(desk: Desk) -> None:
    file = desk.write(f"{N.format(1)};5,00;ACTIVE")
    first = desk.plan(file)
    second = desk.imports.begin("NOK", desk.shop.clock())
    desk.imports.planned(second.id, [], {})
    kept = keep_older(desk.path, second)

    assert kept is not None
    assert choose_rows(kept, desk.imports, first) == 1
    assert {one.id for one in desk.imports.unbegun()} == {first.id, second.id}
    desk.imports.discard(first)
    with pytest.raises(LedgerUnavailable, match="plan again"):
        desk.imports.get(first.id)
    assert desk.shop.rows("import_rows") == []


def test_given_a_plan_that_a_spreadsheet_saved_then_its_lines_mean_the_same(desk: Desk) -> None:
    plan = desk.plan(
        desk.write(
            *(f"{N.format(n)};1500,00;ACTIVE;31.12.2028" for n in (1, 2)),
            head="number;balance;status;validTo",
        )
    )
    lines = list(csv.reader(desk.path.read_text(encoding="utf-8-sig").splitlines()))
    changed = {"1500.00": "1\u00a0500", "2028-12-31": "31.12.28"}
    rows = [[changed.get(cell, cell) for cell in reversed(row)] for row in lines]
    text = "sep=;\r\n" + "".join(";".join(row) + "\r\n" for row in rows) + ";;;\r\n"
    desk.path.write_bytes(text.encode("cp1252"))

    assert import_id_of(desk.path) == plan.id
    assert choose_rows(desk.path, desk.imports, plan) == 2
    desk.path.write_bytes(text.replace("1\u00a0500", "1\u00a0501", 1).encode("cp1252"))
    with pytest.raises(FileProblem, match="lines 3 are not as they were planned"):
        choose_rows(desk.path, desk.imports, plan)


@pytest.mark.parametrize("store", ["Kari, Ola", 'the "old" one', "first\nsecond", "=1+1", "Sølv"])
def test_given_a_text_that_needs_quotes_then_the_plan_file_has_it_whole(desk: Desk, store: str) -> None:
    quoted = store.replace('"', '""')
    path = desk.write(
        f'{N.format(1)};5,00;ACTIVE;"{quoted}"',
        f"{N.format(2)};6,00;ACTIVE;Oslo",
        head="number;balance;status;store",
    )

    plan = desk.plan(path)

    with desk.path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["store"] for row in rows] == [f"'{store}" if store[0] == "=" else store, "Oslo"]
    assert desk.path.read_bytes().endswith(b"\r\n")
    assert choose_rows(desk.path, desk.imports, plan) == 2


def test_given_a_plan_file_as_it_was_written_then_its_hash_alone_chooses_what_does_something(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = desk.plan(
        desk.write(*(f"{N.format(n)};{n}5,00;ACTIVE" for n in (0, 1)), f"{N.format(2)};0;CLOSED")
    )
    whole = desk.path.read_bytes()

    def fail(*_: object) -> None:
        raise AssertionError("a line was compared")

    with monkeypatch.context() as patched:
        patched.setattr(planfile, "_means_the_same", fail)
        assert choose_rows(desk.path, desk.imports, plan) == 2
        desk.path.write_bytes(whole.replace(b"\r\n", b"\n"))
        with pytest.raises(AssertionError, match="a line was compared"):
            choose_rows(desk.path, desk.imports, plan)
    assert [row["chosen"] for row in desk.shop.rows("import_rows")] == [True, True, False]
    assert choose_rows(desk.path, desk.imports, plan) == 2

    desk.imports.discard(plan)
    assert [row["name"] for row in desk.shop.rows("marks") if row["name"].startswith("plan_file")] == []


def test_given_a_plan_then_lines_may_be_taken_out_but_not_changed(desk: Desk) -> None:
    file = desk.write(*(f"{N.format(n)};5,00;ACTIVE" for n in (1, 2, 3)))
    plan = desk.plan(file)
    original = desk.path.read_text(encoding="utf-8-sig")
    # A spreadsheet saves it with another delimiter and without the mark.
    desk.take_out(lambda row: row["card"] != "••••4002")
    assert choose_rows(desk.path, desk.imports, plan) == 2
    assert [row["chosen"] for row in desk.shop.rows("import_rows")] == [True, False, True]
    assert import_id_of(desk.path) == plan.id

    for old, new in (("5.00", "50.00"), ("create_online", "adopt"), (f"{plan.id},1,", f"{plan.id},9,")):
        desk.path.write_text(original.replace(old, new, 1))
        with pytest.raises(FileProblem, match="lines 2 are not as they were planned"):
            choose_rows(desk.path, desk.imports, plan)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no plan of giftsync"),
        ("a,b\n1,2\n", "no column plan"),
        ("plan,row,ref,action,pos_balance,online_balance,to_create\nx\n", "damaged"),
        ("plan,row,ref,action,pos_balance,online_balance,to_create\n", "no lines"),
    ],
)
def test_given_a_file_that_is_no_plan_then_it_says_so(desk: Desk, text: str, reason: str) -> None:
    desk.path.write_text(text)
    with pytest.raises(FileProblem, match=reason):
        import_id_of(desk.path)


def test_given_ctrl_c_while_planning_then_nothing_is_left_to_apply(desk: Desk) -> None:
    halt = StopSignal()
    halt.stop.set()
    file = desk.write(f"{N.format(1)};5,00;ACTIVE")
    planner = Planner(desk.shop.link, desk.imports, desk.context, stop=halt.stop)
    with pytest.raises(Stopped):
        planner.plan([open_card_file(file, None)], None)
    assert desk.shop.row("imports")["state"] == "planning"


def test_given_a_side_with_digits_only_then_other_numbers_are_rejected(shop: Shop, tmp_path: Path) -> None:
    digits = replace(CAPABILITIES, serial_digits_only=True)
    desk = Desk(shop, tmp_path, online_can=digits, today=date(2026, 11, 23))
    plan = desk.plan(desk.write("abcd12345678;5,00;ACTIVE"))
    assert desk.rows(plan)[0].reason == "the number has letters; only digits are allowed"
