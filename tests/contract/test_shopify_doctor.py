"""The doctor at a shop: every thing that can be missing is named, with how to grant it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from connectors.api.card import CardRef
from connectors.api.doctor import Known, Verdict
from connectors.api.effect import Effect, EffectKind
from connectors.kit.world import Saved, marker
from connectors.shopify import ShopifySide
from connectors.shopify.topics import WANTED
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind, FaultPlan
from sandbox.shopify import ALL_SCOPES, ShopifyBehaviour

from .examined import Notes, context, point, points, probed, wanted, words
from .loopback import FailOnce
from .test_shopify import SECRET, SHOP, TOKEN, ShopifyWorld, opened_shop


@pytest.fixture
def world() -> Iterator[ShopifyWorld]:
    with opened_shop() as world:
        yield world


@pytest.fixture
def side(world: ShopifyWorld) -> Iterator[ShopifySide]:
    side = world.side()
    yield side
    side.close()


def card_of(world: ShopifyWorld, side: ShopifySide, amount_minor: int = 250_00) -> Serial:
    """A card that giftsync made, so that its whole code is known."""
    serial = world.new_serial()
    side.apply(
        Effect(marker(), EffectKind.CREATE, CardRef(serial=serial), world.currency, amount_minor), Saved()
    )
    world.settle_late()
    return serial


def balance(world: ShopifyWorld, serial: Serial) -> str:
    (row,) = [row for row in world.cards() if row["code"] == serial.reveal()]
    return str(row["balance"])


def subscribe(world: ShopifyWorld, topic: str) -> None:
    document = f"""mutation {{ webhookSubscriptionCreate(topic: {topic}, webhookSubscription:
        {{uri: "https://giftsync.example.com/webhooks/shopify"}}) {{ userErrors {{ message }} }} }}"""
    answer = requests.post(
        f"{world.loopback.url}/admin/api/2026-10/graphql.json",
        json={"query": document},
        headers={"X-Shopify-Access-Token": TOKEN},
        timeout=10,
    ).json()
    assert answer["data"]["webhookSubscriptionCreate"]["userErrors"] == []


class TestExamination:
    def test_a_shop_in_order_lacks_nothing(self, side: ShopifySide) -> None:
        found = side.examine(wanted())
        assert points(found, Verdict.MISSING) == []
        assert points(found, Verdict.WARNING) == ["webhooks"]
        assert found.identity is not None
        assert (found.identity.identity, found.identity.currency) == (SHOP, "NOK")
        assert point(found, "issue_limit").evidence == {"issue_limit_minor": 2_000_000, "currency": "NOK"}
        assert point(found, "rate_limit").evidence == {
            "restore_points_per_second": 100,
            "maximum_points": 2000,
        }

    def test_it_changes_nothing(self, side: ShopifySide, world: ShopifyWorld) -> None:
        world.sell(100_00)
        before = world.cards()
        side.examine(wanted())
        assert world.cards() == before
        stats: dict[str, Any] = requests.get(f"{world.loopback.url}/_sandbox/stats", timeout=10).json()
        assert not [name for name in stats["operations"] if "mutation" in name]

    @pytest.mark.parametrize(
        ("lost", "named"),
        [
            ("write_gift_cards", "scope.write_gift_cards"),
            ("write_gift_card_transactions", "scope.write_gift_card_transactions"),
            ("read_orders", "scope.read_orders"),
        ],
    )
    def test_a_missing_scope_is_named_with_why_and_how(self, lost: str, named: str) -> None:
        with opened_shop(scopes=tuple(one for one in ALL_SCOPES if one != lost)) as world:
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert points(found, Verdict.MISSING) == [named]
        finding = point(found, named)
        assert lost in finding.sentence
        assert "It needs it to " in finding.sentence
        assert "install the app again" in finding.remedy

    def test_no_scope_at_all_still_gives_every_point(self) -> None:
        with opened_shop(scopes=()) as world:
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert len(points(found, Verdict.MISSING)) == 3
        assert {"issue_limit", "updated_at_order", "other_apps"} <= set(points(found, Verdict.UNKNOWN))

    def test_a_wrong_token_is_told_from_a_shop_that_is_away(self, world: ShopifyWorld) -> None:
        wrong = ShopifySide(
            shop=SHOP, token="shpat_wrong", base_url=world.loopback.url, pause=world.time.pause
        )
        away = world.side(base_url="http://127.0.0.1:1")
        (refused,) = wrong.examine(wanted()).findings
        (absent,) = away.examine(wanted()).findings
        assert (refused.point, refused.verdict) == ("token", Verdict.MISSING)
        assert (absent.point, absent.verdict) == ("connection", Verdict.MISSING)
        assert "shpat_wrong" not in words([refused])
        assert refused.remedy
        assert absent.remedy
        wrong.close()
        away.close()

    def test_a_token_of_another_shop(self, world: ShopifyWorld) -> None:
        side = ShopifySide(
            shop="te.myshopify.com", token=TOKEN, base_url=world.loopback.url, pause=world.time.pause
        )
        found = side.examine(wanted())
        assert "shop" in points(found, Verdict.MISSING)
        assert SHOP in point(found, "shop").sentence
        side.close()

    def test_another_currency_and_time_zone(self, side: ShopifySide) -> None:
        found = side.examine(wanted(currency="EUR", timezone="Europe/Helsinki"))
        assert points(found, Verdict.MISSING) == ["currency"]
        assert "time_zone" in points(found, Verdict.WARNING)
        assert 'timezone = "Europe/Oslo"' in point(found, "time_zone").remedy

    def test_a_plan_without_gift_cards(self) -> None:
        with opened_shop(behaviour=ShopifyBehaviour(gift_cards_in_plan=False)) as world:
            side = world.side()
            found = side.examine(wanted())
            side.close()
        assert points(found, Verdict.MISSING) == ["gift_cards"]
        assert "plan" in point(found, "gift_cards").remedy

    def test_a_larger_plan_shows_its_limits(self) -> None:
        with opened_shop(plan="plus") as world:
            side = world.side()
            limits = point(side.examine(wanted()), "rate_limit").evidence
            side.close()
        assert limits == {"restore_points_per_second": 1000, "maximum_points": 20_000}

    def test_a_version_that_is_served_as_another(self, side: ShopifySide) -> None:
        side._client.version = "2026-01"
        found = side.examine(wanted())
        assert points(found, Verdict.MISSING) == ["api_version"]
        assert "2026-04" in point(found, "api_version").sentence

    @pytest.mark.parametrize("version", ["2026-10", "2026-07", "2026-04"])
    def test_every_version_answers_every_question(self, world: ShopifyWorld, version: str) -> None:
        world.sell(100_00)
        world.time.pause(5)
        world.sell(100_00)
        side = world.side(version=version)
        found = side.examine(wanted())
        assert points(found, Verdict.MISSING) == []
        assert set(points(found, Verdict.UNKNOWN)) == {
            "updated_at_on_credit",
            "updated_at_on_debit",
            "transaction_notes",
        }
        side.close()

    @pytest.mark.parametrize(("works", "verdict"), [(True, Verdict.OK), (False, Verdict.WARNING)])
    def test_updates_out_of_order(self, works: bool, verdict: Verdict) -> None:
        with opened_shop(behaviour=ShopifyBehaviour(updated_at_sort_works=works)) as world:
            side = world.side()
            older = world.sell(100_00)
            world.time.pause(60)
            world.sell(100_00)
            world.time.pause(60)
            side.apply(Effect(marker(), EffectKind.SET_EXPIRY, older, "NOK"), Saved())
            found = side.examine(wanted())
            side.close()
        assert point(found, "updated_at_order").verdict is verdict

    def test_another_app_is_noticed_and_giftsync_is_not(self, side: ShopifySide, world: ShopifyWorld) -> None:
        card_of(world, side)
        assert point(side.examine(wanted()), "other_apps").verdict is Verdict.OK

        document = """mutation { giftCardCreate(input: {note: "made by hand",
            initialAmount: {amount: "5", currencyCode: NOK}}) { giftCard { id } userErrors { message } } }"""
        requests.post(
            f"{world.loopback.url}/admin/api/2026-10/graphql.json",
            json={"query": document},
            headers={"X-Shopify-Access-Token": TOKEN},
            timeout=10,
        )
        world.settle_late()
        finding = point(side.examine(wanted()), "other_apps")
        assert finding.verdict is Verdict.WARNING
        assert finding.evidence["cards_without_our_mark"] == 1

    def test_subscriptions_and_the_secret_that_proves_them(self, world: ShopifyWorld) -> None:
        def at(secrets: tuple[str, ...], url: str | None = None) -> Verdict:
            side = ShopifySide(
                shop=SHOP,
                token=TOKEN,
                base_url=world.loopback.url,
                pause=world.time.pause,
                webhook_secrets=secrets,
            )
            finding = point(side.examine(wanted(webhook_url=url)), "webhooks")
            assert SECRET not in words([finding])
            side.close()
            return finding.verdict

        assert at((SECRET,)) is Verdict.WARNING
        for topic in WANTED:
            subscribe(world, topic.name)
        assert at(()) is Verdict.WARNING
        assert at((SECRET,)) is Verdict.OK
        assert at((SECRET,), "https://giftsync.example.com/webhooks/shopify") is Verdict.OK
        assert at((SECRET,), "https://moved.example.com/webhooks/shopify") is Verdict.WARNING

    def test_what_was_tried_before_is_told(self, side: ShopifySide) -> None:
        known = {"updated_at_on_debit": Known(Verdict.OK, "It does.", datetime(2026, 1, 2, tzinfo=UTC))}
        finding = point(side.examine(wanted(known=known)), "updated_at_on_debit")
        assert finding.verdict is Verdict.OK
        assert finding.sentence == "It does. (Tried on 2026-01-02.)"

    def test_no_finding_tells_the_token(self, side: ShopifySide) -> None:
        assert TOKEN not in words(side.examine(wanted()).findings)


class TestProbe:
    @pytest.mark.parametrize("moves", [False, True])
    def test_it_tells_whether_updates_show_and_leaves_the_card_as_it_was(self, moves: bool) -> None:
        with opened_shop(behaviour=ShopifyBehaviour(updated_at_moves_on_credit_debit=moves)) as world:
            side, notes = world.side(), Notes()
            serial = card_of(world, side)
            found = probed(side, serial, notes)
            assert balance(world, serial) == "250.00"
            side.close()
        assert point(found, "updated_at_on_credit").evidence == {"moves": moves}
        assert point(found, "updated_at_on_debit").evidence == {"moves": moves}
        assert point(found, "transaction_notes").verdict is Verdict.OK
        assert found[-1].point == "probe"
        assert found[-1].verdict is Verdict.OK
        assert notes.kept is None
        assert serial.reveal() not in words(found) + repr(notes.saves)

    def test_a_card_that_is_not_there(self, side: ShopifySide, world: ShopifyWorld) -> None:
        (finding,) = probed(side, world.new_serial())
        assert finding.verdict is Verdict.WARNING
        assert world.cards() == []

    def test_a_closed_card_is_left_alone(self, side: ShopifySide, world: ShopifyWorld) -> None:
        serial = card_of(world, side)
        ref = CardRef(serial=serial)
        side.apply(Effect(marker(), EffectKind.SET_STATUS, ref, "NOK", status=CardStatus.CLOSED), Saved())
        (finding,) = probed(side, serial)
        assert "deactivated" in finding.sentence

    def test_a_missing_scope_moves_nothing(self, world: ShopifyWorld, side: ShopifySide) -> None:
        serial = card_of(world, side)
        world.emulator.oauth._tokens[TOKEN].scopes = ("write_gift_cards", "read_orders")
        found = probed(side, serial)
        assert point(found, "updated_at_on_credit").verdict is Verdict.UNKNOWN
        assert found[-1].verdict is Verdict.OK
        assert balance(world, serial) == "250.00"

    @pytest.mark.parametrize("kind", [FaultKind.DROP_RESPONSE, FaultKind.DROP_REQUEST, FaultKind.LATE_APPLY])
    @pytest.mark.parametrize("match", ["giftCardCredit", "giftCardDebit"])
    def test_a_lost_answer_is_cleared_up(
        self, world: ShopifyWorld, side: ShopifySide, kind: FaultKind, match: str
    ) -> None:
        serial = card_of(world, side)
        world.emulator.faults = FailOnce(match=match, fault=Fault(kind, applied=True, delay_ms=0))
        found = probed(side, serial)
        assert found[-1].verdict is Verdict.OK
        assert balance(world, serial) == "250.00"

    def test_a_shop_that_goes_away_half_way_is_said_and_put_back_by_the_next_probe(
        self, world: ShopifyWorld, side: ShopifySide
    ) -> None:
        serial, notes = card_of(world, side), Notes()

        class Away(FaultPlan):
            def draw(self, operation: str) -> Fault | None:
                return Fault(FaultKind.DROP_REQUEST, False, 0) if "giftCardDebit" in operation else None

        world.emulator.faults = Away()
        found = probed(side, serial, notes)
        assert found[-1].verdict is Verdict.WARNING
        assert "1.00 NOK more than before" in found[-1].sentence
        assert balance(world, serial) == "251.00"
        assert notes.kept is not None

        world.emulator.faults = FaultPlan()
        found = probed(side, serial, notes)
        assert found[-1].verdict is Verdict.OK
        assert balance(world, serial) == "250.00"
        assert notes.kept is None

    @pytest.mark.parametrize("after_saves", [1, 2, 3, 4])
    def test_killed_at_any_note_the_next_probe_puts_the_card_back(
        self, world: ShopifyWorld, side: ShopifySide, after_saves: int
    ) -> None:
        class Killed(BaseException):
            pass

        class Fragile(Notes):
            """The process dies after so many saves, and every later one."""

            def save(self, notes: Any) -> None:
                if len(self.saves) >= after_saves:
                    raise Killed
                super().save(notes)

        serial, notes = card_of(world, side), Fragile()
        with pytest.raises(Killed):
            probed(side, serial, notes)

        found = probed(side, serial, healed := Notes(notes.kept))
        assert found[-1].verdict is Verdict.OK
        assert balance(world, serial) == "250.00"
        assert healed.kept is None

    def test_another_card_waits_for_the_one_that_was_cut_short(
        self, world: ShopifyWorld, side: ShopifySide
    ) -> None:
        one, other, notes = card_of(world, side), card_of(world, side), Notes()
        probed(side, one, notes)
        notes.kept = notes.saves[0]
        (finding,) = probed(side, other, notes)
        assert "cut short" in finding.sentence
        assert notes.kept is not None

    def test_somebody_elses_purchase_meanwhile_is_not_undone(
        self, world: ShopifyWorld, side: ShopifySide
    ) -> None:
        serial = card_of(world, side)
        findings = side.probe(context(serial, Notes()))
        next(findings)
        world.call("checkout", {"code": serial.reveal(), "amount": "30.00"})
        found = list(findings)
        assert found[-1].verdict is Verdict.OK
        assert "somebody else used it" in found[-1].sentence
        assert balance(world, serial) == "220.00"
