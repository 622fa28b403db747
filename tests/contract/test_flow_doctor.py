"""The doctor at a Flow tenant: what is missing, what is inferred, and what a probe proves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from connectors.api.doctor import Known, Verdict
from connectors.flow import FlowSide
from connectors.flow.inferred import INFERRED, with_proved
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind, FaultPlan
from sandbox.flow import FlowBehaviour
from sandbox.flow.behaviour import PROFILE_RENAMED, DebitMoment, Edition, UnknownCard
from sandbox.flow.catalog import Brand, Permission

from .examined import Notes, point, points, probed, wanted, words
from .loopback import FailOnce
from .test_flow import TOKEN, FlowWorld, world_of

#: Nothing inferred is switched on.
UNPROVED: dict[str, Any] = {
    "api_settlement_debits": False,
    "api_issue_allowed": False,
    "caller_may_choose_number": False,
}
DEBITS = {"api_settlement_debits", "order_settles_once"}
FLAGS = (*sorted(DEBITS), "refund_settlement_credits", "api_issue_allowed")


@pytest.fixture
def world() -> Iterator[FlowWorld]:
    with world_of(FlowBehaviour()) as world:
        yield world


@pytest.fixture
def side(world: FlowWorld) -> Iterator[FlowSide]:
    side = world.side(**UNPROVED)
    yield side
    side.close()


def serial_of(world: FlowWorld, amount_minor: int = 250_00) -> Serial:
    serial = world.sell(amount_minor).serial
    assert serial is not None
    return serial


def row(world: FlowWorld, serial: Serial) -> dict[str, Any]:
    (found,) = [one for one in world.cards() if one["number"] == serial.reveal()]
    return found


class TestExamination:
    def test_a_tenant_with_everything_vouched_for(self, world: FlowWorld) -> None:
        world.sell(100_00)
        side = world.side()
        found = side.examine(wanted())
        assert points(found, Verdict.MISSING) == []
        assert point(found, "directions").verdict is Verdict.OK
        assert point(found, "card_format").evidence == {"edition": "newer", "cvc_required": False}
        assert found.identity is not None
        assert found.identity.currency == "NOK"
        side.close()

    def test_until_something_is_proved_the_link_runs_shopify_ward_only(self, side: FlowSide) -> None:
        found = side.examine(wanted())
        assert points(found, Verdict.MISSING) == []
        assert "Shopify-ward only" in point(found, "directions").sentence
        for flag in (*FLAGS, "caller_may_choose_number"):
            finding = point(found, f"inferred.{flag}")
            assert finding.verdict is Verdict.WARNING
            assert finding.remedy

    def test_it_changes_nothing(self, side: FlowSide, world: FlowWorld) -> None:
        serial = serial_of(world)
        before = world.cards()
        side.examine(wanted(card=serial))
        assert world.cards() == before
        stats: dict[str, Any] = requests.get(f"{world.loopback.url}/_sandbox/stats", timeout=10).json()
        assert not [name for name in stats["operations"] if name.startswith("mutation")]

    def test_a_wrong_token_and_a_tenant_that_is_away(self, world: FlowWorld) -> None:
        wrong = world.side(token="not-a-token-of-theirs")
        (refused,) = wrong.examine(wanted()).findings
        away = world.side(base_url="http://127.0.0.1:1/v2")
        (absent,) = away.examine(wanted()).findings
        assert (refused.point, refused.verdict) == ("token", Verdict.MISSING)
        assert "Integration user" in refused.remedy
        assert (absent.point, absent.verdict) == ("connection", Verdict.MISSING)
        assert "not-a-token-of-theirs" not in words([refused, absent])
        wrong.close()
        away.close()

    def test_another_tenant_or_store(self, world: FlowWorld) -> None:
        tenant, store = world.side(tenant="8"), world.side(store="71")
        (finding,) = tenant.examine(wanted()).findings
        assert "tenant uid" in finding.remedy
        assert "store" in points(store.examine(wanted()), Verdict.MISSING)
        tenant.close()
        store.close()

    def test_403_is_a_permission_and_not_the_token(self) -> None:
        everything = frozenset(Permission)
        for permission in everything:
            tokens = {"limited": everything - {permission}}
            with world_of(FlowBehaviour(), tokens=tokens) as world:
                side = world.side(token="limited")
                found = side.examine(wanted(card=serial_of(world)))
                side.close()
            assert point(found, "token").verdict is Verdict.OK
            missing = points(found, Verdict.MISSING)
            assert all(one.startswith("permission.") for one in missing)

    def test_the_extension_is_off(self) -> None:
        with world_of(FlowBehaviour(extension_active=False)) as world:
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert points(found, Verdict.MISSING) == ["extension"]
        assert "Flow Admin" in point(found, "extension").remedy

    def test_the_extension_sounds_an_alarm(self) -> None:
        with world_of(FlowBehaviour(extension_messages=("ERROR: issuer unreachable",))) as world:
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert points(found, Verdict.MISSING) == ["extension"]

    def test_two_payment_methods_and_renamed_ones(self) -> None:
        with world_of(FlowBehaviour(second_giftcard_method=True)) as world:
            side = world.side()
            finding = point(side.examine(wanted()), "payment_method")
            side.close()
        assert finding.verdict is Verdict.MISSING
        assert "gift_card_settlement_code" in finding.remedy
        with world_of(FlowBehaviour(payment_profile=PROFILE_RENAMED)) as world:
            side = world.side()
            evidence = point(side.examine(wanted()), "payment_method").evidence
            side.close()
        assert (evidence["number_key"], evidence["cvc_key"]) == ("giftcard_ref", "pinCode")

    def test_another_currency(self, world: FlowWorld) -> None:
        side = world.side(currency="EUR")
        finding = point(side.examine(wanted(currency="EUR")), "currency")
        assert finding.verdict is Verdict.MISSING
        side.close()

    def test_the_older_edition(self) -> None:
        with world_of(FlowBehaviour(edition=Edition.OLDER)) as world:
            side = world.side()
            finding = point(side.examine(wanted(card=serial_of(world))), "card_format")
            side.close()
        assert finding.verdict is Verdict.WARNING
        assert finding.evidence["edition"] == "older"

    def test_a_card_that_hides_behind_a_cvc(self) -> None:
        brand = Brand("giftcard", 1, "Gavekort", "901", cvc_required=True)
        with world_of(FlowBehaviour(), brands=[brand]) as world:
            side = world.side(cvc_for=None)
            finding = point(side.examine(wanted(card=serial_of(world))), "card_format")
            side.close()
        assert finding.verdict in (Verdict.UNKNOWN, Verdict.WARNING)

    @pytest.mark.parametrize("first", [0, 1])
    def test_pages(self, first: int) -> None:
        with world_of(FlowBehaviour(first_page=first)) as world:
            world.sell(100_00)
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert point(found, "paging").evidence == {"first_page": first}

    def test_what_a_probe_disproved_is_said_although_it_is_vouched_for(self, world: FlowWorld) -> None:
        side = world.side()
        known = {"api_settlement_debits": Known(Verdict.WARNING, "Not so.", datetime(2026, 1, 2, tzinfo=UTC))}
        finding = point(side.examine(wanted(known=known)), "inferred.api_settlement_debits")
        assert finding.verdict is Verdict.WARNING
        assert "api_settlement_debits = false" in finding.remedy
        side.close()

    def test_no_finding_tells_a_token_a_number_or_a_parameter(self, world: FlowWorld, side: FlowSide) -> None:
        serial = serial_of(world)
        shown = words(side.examine(wanted(card=serial)).findings)
        for secret in (TOKEN, serial.reveal(), "sandbox-secret-issuer-value"):
            assert secret not in shown


PROBED: dict[str, tuple[FlowBehaviour, set[str]]] = {
    "all of it": (FlowBehaviour(), set(FLAGS)),
    "debits when settled": (FlowBehaviour(debit_moment=DebitMoment.AT_ORDER_SETTLED), set(FLAGS)),
    "no refunds": (FlowBehaviour(refund_by_api=False), {*DEBITS, "api_issue_allowed"}),
    "no loads": (FlowBehaviour(issue_by_api=False), {*DEBITS, "refund_settlement_credits"}),
    "an order settles twice": (
        FlowBehaviour(settled_order_takes_more=True),
        set(FLAGS) - {"order_settles_once"},
    ),
    "nothing at all": (FlowBehaviour(debit_by_api=False), set()),
    "other names": (
        FlowBehaviour(payment_profile=PROFILE_RENAMED, item_number_key="giftcardNumber"),
        set(FLAGS),
    ),
    "older edition": (FlowBehaviour(edition=Edition.OLDER), set(FLAGS)),
}


class TestProbe:
    @pytest.mark.parametrize("name", PROBED)
    def test_it_proves_what_is_so_and_leaves_the_card_as_it_was(self, name: str) -> None:
        behaviour, so = PROBED[name]
        with world_of(behaviour) as world:
            side, serial, notes = world.side(**UNPROVED), serial_of(world), Notes()
            before = row(world, serial)
            found = probed(side, serial, notes)
            after = row(world, serial)
            side.close()
        assert {one.point for one in found if one.point in FLAGS and one.verdict is Verdict.OK} == so
        for name in ("balance", "note", "expires", "status"):
            assert after[name] == before[name]
        assert found[-1].verdict is Verdict.OK
        assert notes.kept is None
        assert serial.reveal() not in words(found) + repr(notes.saves)
        assert TOKEN not in words(found)

    def test_where_only_debits_work_exactly_what_is_left_is_said(self) -> None:
        with world_of(FlowBehaviour(refund_by_api=False, issue_by_api=False)) as world:
            side, serial, notes = world.side(**UNPROVED), serial_of(world), Notes()
            found = probed(side, serial, notes)
            assert row(world, serial)["balance"] == "249.00"
            assert found[-1].verdict is Verdict.WARNING
            assert "left with 1.00 NOK less than before" in found[-1].sentence

            # Somebody loads it at the till; the next probe takes that for put right.
            world.call("deposit", {"number": serial.reveal(), "amount": "1.00"})
            assert notes.kept is not None
            found = probed(side, serial, notes)
            assert row(world, serial)["balance"] == "249.00"
            side.close()

    def test_with_1_00_on_the_card_nobody_can_tell_whether_an_order_settles_twice(
        self, world: FlowWorld
    ) -> None:
        side, serial = world.side(**UNPROVED), serial_of(world, 1_00)
        found = probed(side, serial)
        assert point(found, "api_settlement_debits").verdict is Verdict.OK
        assert point(found, "order_settles_once").verdict is Verdict.UNKNOWN
        assert row(world, serial)["balance"] == "1.00"
        side.close()

    def test_without_products_only_what_can_be_tried_is(self, world: FlowWorld) -> None:
        side = world.side(**UNPROVED, debit_product_uid=None)
        found = probed(side, serial_of(world))
        assert point(found, "api_settlement_debits").verdict is Verdict.UNKNOWN
        assert "debit_product_uid" in point(found, "api_settlement_debits").remedy
        assert found[-1].verdict is Verdict.OK
        side.close()

    def test_a_change_that_empties_the_rest_is_put_back(self) -> None:
        with world_of(FlowBehaviour(put_omitted_keys_stay=False)) as world:
            side, serial = world.side(**UNPROVED), serial_of(world)
            before = row(world, serial)
            found = probed(side, serial)
            after = row(world, serial)
            side.close()
        assert point(found, "put_keeps_the_rest").verdict is Verdict.WARNING
        assert (after["expires"], after["note"]) == (before["expires"], before["note"])

    @pytest.mark.parametrize(
        ("answer", "verdict"),
        [(UnknownCard.NOT_FOUND, Verdict.UNKNOWN), (UnknownCard.EMPTY_ANSWER, Verdict.OK)],
    )
    def test_how_unknown_numbers_are_answered(self, answer: UnknownCard, verdict: Verdict) -> None:
        with world_of(FlowBehaviour(unknown_card=answer)) as world:
            side = world.side(**UNPROVED)
            found = probed(side, serial_of(world))
            side.close()
        assert point(found, "empty_answer_means_absent").verdict is verdict

    def test_a_card_without_money_or_of_nobody(self, world: FlowWorld, side: FlowSide) -> None:
        empty = serial_of(world)
        world.call("redeem", {"number": empty.reveal(), "amount": "250.00"})
        for serial in (empty, world.new_serial()):
            found = probed(side, serial)
            assert found[-1].point == "probe"
            assert "Nothing was tried" in found[-1].sentence

    @pytest.mark.parametrize("kind", [FaultKind.DROP_RESPONSE, FaultKind.DROP_REQUEST, FaultKind.ERROR_500])
    @pytest.mark.parametrize("match", ["POST orders", "POST items", "POST settlements", "PUT giftcards"])
    def test_a_lost_answer_is_cleared_up(
        self, world: FlowWorld, side: FlowSide, kind: FaultKind, match: str
    ) -> None:
        serial = serial_of(world)
        before = row(world, serial)
        world.emulator.faults = FailOnce(match=match, fault=Fault(kind, applied=True, delay_ms=0))
        found = probed(side, serial)
        after = row(world, serial)
        assert found[-1].verdict is Verdict.OK
        assert (after["balance"], after["note"]) == (before["balance"], before["note"])

    def test_a_tenant_that_goes_away_half_way_is_put_back_by_the_next_probe(
        self, world: FlowWorld, side: FlowSide
    ) -> None:
        serial, notes = serial_of(world), Notes()

        class Gone(FaultPlan):
            """After the first settlement no order can be made."""

            settled = False

            def draw(self, operation: str) -> Fault | None:
                if "POST settlements" in operation:
                    self.settled = True
                gone = self.settled and "POST orders" in operation
                return Fault(FaultKind.DROP_REQUEST, False, 0) if gone else None

        world.emulator.faults = Gone()
        found = probed(side, serial, notes)
        assert row(world, serial)["balance"] == "249.00"
        assert "1.00 NOK less" in found[-1].sentence
        assert notes.kept is not None

        world.emulator.faults = FaultPlan()
        found = probed(side, serial, notes)
        assert row(world, serial)["balance"] == "250.00"
        assert found[-1].verdict is Verdict.OK
        assert notes.kept is None

    @pytest.mark.parametrize("after_saves", range(1, 17, 2))
    def test_killed_at_any_note_the_next_probe_puts_the_card_back(
        self, world: FlowWorld, side: FlowSide, after_saves: int
    ) -> None:
        class Killed(BaseException):
            pass

        class Fragile(Notes):
            def save(self, notes: Any) -> None:
                if len(self.saves) >= after_saves:
                    raise Killed
                super().save(notes)

        serial, notes = serial_of(world), Fragile()
        before = row(world, serial)
        with pytest.raises(Killed):
            probed(side, serial, notes)

        found = probed(side, serial, healed := Notes(notes.kept))
        after = row(world, serial)
        assert found[-1].verdict is Verdict.OK
        assert (after["balance"], after["note"]) == (before["balance"], before["note"])
        assert healed.kept is None


class TestProved:
    """What was proved is switched on where it has what it needs; nothing else is."""

    def test_what_was_proved_is_on(self, world: FlowWorld) -> None:
        settings = with_proved(
            world.settings(**UNPROVED), {"api_settlement_debits", "refund_settlement_credits"}
        )
        assert settings.api_settlement_debits
        assert settings.refund_settlement_credits
        assert not settings.api_issue_allowed

    def test_what_lacks_its_setting_stays_off(self, world: FlowWorld) -> None:
        settings = with_proved(world.settings(**UNPROVED, debit_product_uid=None), set(FLAGS))
        assert not settings.api_settlement_debits
        assert settings.api_issue_allowed

    def test_what_no_probe_can_prove_stays_off(self, world: FlowWorld) -> None:
        settings = with_proved(world.settings(**UNPROVED), {one.setting for one in INFERRED})
        assert not settings.caller_may_choose_number
        assert not settings.loads

    def test_a_proved_side_debits(self, world: FlowWorld) -> None:
        settings = with_proved(world.settings(**UNPROVED), {"api_settlement_debits"})
        side = FlowSide(
            settings, clock=world.time.clock, pause=world.time.pause, monotonic=world.time.monotonic
        )
        assert side.capabilities.debits
        assert not side.capabilities.credits
        side.close()
