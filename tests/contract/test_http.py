"""The HTTP connector keeps the whole contract, over loopback and through a proxy that loses answers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from connectors.api.build import BuildContext
from connectors.api.card import CardRef, Seen, Unreadable
from connectors.api.doctor import Verdict
from connectors.api.effect import Effect, EffectKind, Found, NotFound
from connectors.api.errors import InDoubt, Refusal, Refused, SideClosed, Throttled
from connectors.api.webhooks import InvalidSignature
from connectors.http_side.plugin import CONNECTOR, HttpSection
from connectors.http_side.side import CHANGES, HttpSide
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.fault_proxy import FaultProxy, ProxyFault
from connectors.kit.world import Mishap, Saved, drain, no_pause, observe, seen
from connectors.registry import connector_type
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sandbox.faults import Fault, FaultKind
from sandbox.http_side import HttpShopBehaviour, HttpShopEmulator
from sandbox.http_side.webhooks import signed_headers
from tests.support import seen_in_time

from .emulated_world import EmulatedWorld, number_of
from .examined import Notes, point, probed, wanted
from .loopback import FailOnce, Inbox, Loopback, serve

KEY = "http-contract-key"
SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four.").decode()
ROOT = Path(__file__).parents[2]


def context_of(clock: Any = None) -> BuildContext:
    return BuildContext(
        name="webshop",
        timezone="Europe/Oslo",
        currency="NOK",
        clock=clock or (lambda: datetime.now(UTC)),
        pause=no_pause,
        shelf=lambda kind, given_to: None,  # type: ignore[arg-type, return-value]
    )


def side_at(
    base: str, *, path: str = "/giftsync", once: bool = True, clock: Any = None, **more: Any
) -> HttpSide:
    table = {
        "connector": "http",
        "url": base + path,
        "key": KEY,
        "key_applies_once": once,
        "webhook_secret": SECRET,
        **more,
    }
    side = CONNECTOR.build(HttpSection.model_validate(table), context_of(clock))
    assert isinstance(side, HttpSide)
    return side


def is_write(method: str, path: str) -> bool:
    return method in ("POST", "PATCH") and not path.endswith("/lookup")


class HttpWorld(EmulatedWorld):
    """The shop, its customers, and the accidents on the way to it."""

    new_number = "ab{:014d}"
    signs_bodies = True
    lists_now = True

    emulator: HttpShopEmulator

    def __init__(self, emulator: HttpShopEmulator, loopback: Loopback, proxy: FaultProxy) -> None:
        super().__init__(emulator, loopback, proxy)
        self.side = side_at(proxy.url)

    def writes(self, method: str, path: str) -> bool:
        return is_write(method, path)

    def balance(self, card: CardRef) -> int:
        wanted = {card.native_id, card.serial.reveal() if card.serial else None}
        (minor,) = [c.minor for c in self.emulator.shop.cards.values() if {c.id, c.number} & wanted]
        return minor

    def unknown_card(self) -> CardRef:
        return CardRef("gc_999999", self.new_serial())

    def odd_status(self, card: CardRef) -> None:
        self.control("status", {"number": number_of(card), "status": "frozen"})

    def delivery(self, card: CardRef) -> tuple[Mapping[str, str], bytes]:
        event, body = self.emulator.notifier.event(card.native_id or "")
        return signed_headers(SECRET, event, datetime.now(UTC), body), body

    def unreachable(self) -> HttpSide:
        return side_at("http://127.0.0.1:9")


@contextmanager
def http_world(**switches: Any) -> Iterator[HttpWorld]:
    emulator = HttpShopEmulator(key=KEY, behaviour=HttpShopBehaviour(**switches))
    with serve(emulator.application()) as loopback, FaultProxy(loopback.url).served() as proxy:
        world = HttpWorld(emulator, loopback, proxy)
        yield world
        world.side.close()


TestHttp = contract_for(http_world)
HELP = SideContract()


def test_given_the_contract_document_then_the_shipped_one_is_the_published_one_and_is_whole() -> None:
    shipped = (ROOT / "connectors/http_side/contract.yaml").read_text("utf-8")
    assert (ROOT / "docs/reference/http-side.yaml").read_text("utf-8") == shipped
    document = yaml.safe_load(shipped)
    assert document["openapi"] == "3.1.0"
    named = set(_references(document))
    assert all(_resolved(document, name) for name in named)
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas <= named


def _references(node: Any) -> Iterator[str]:
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node):
        if key == "$ref":
            yield inner
        elif isinstance(inner, dict | list):
            yield from _references(inner)


def _resolved(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize("kind", sorted(k for k in FaultKind if k.name in ("HTML", "WRONG_TYPE", "CUT_BODY")))
def test_given_an_answer_that_cannot_be_believed_then_a_move_is_in_doubt_and_is_found(
    kind: FaultKind,
) -> None:
    with http_world() as world:
        card, saved = world.sell(100_00), Saved()
        effect = HELP.debit(world, card, 30_00)
        world.emulator.faults = FailOnce(match="movements", fault=Fault(kind, applied=True, delay_ms=0))

        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)

        assert isinstance(world.side.find(effect), Found)
        world.side.apply(replace(effect, progress=saved.progress), saved)
        assert world.balance(card) == 70_00


@pytest.mark.parametrize("status", [404, 409])
def test_given_an_error_page_of_a_proxy_then_no_card_is_taken_for_absent_and_no_move_for_refused(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    async def page(*_: object) -> web.Response:
        return web.Response(status=status, text="<html>Not here</html>", content_type="text/html")

    with http_world() as world:
        card = world.sell(100_00)
        monkeypatch.setattr(world.emulator, "api", page)
        with pytest.raises(InDoubt, match="in a form that the contract does not have"):
            observe(world.side, card)
        with pytest.raises(InDoubt):
            world.side.apply(HELP.debit(world, card, 1_00), Saved())


def test_given_a_shop_that_forgets_keys_then_a_repetition_reads_first_and_moves_nothing() -> None:
    with http_world(keys_kept=False) as world:
        card = world.sell(100_00)
        effect, saved = HELP.debit(world, card, 30_00), Saved()
        world.fail_next(Mishap.DROP_RESPONSE)
        with pytest.raises(InDoubt):
            world.side.apply(effect, saved)
        world.side.apply(replace(effect, progress=saved.progress), saved)

        assert world.balance(card) == 70_00


@pytest.mark.parametrize("fault", [f for f in ProxyFault if f is not ProxyFault.SLOW])
@pytest.mark.parametrize("keys_kept", [True, False])
def test_given_any_accident_at_a_create_then_there_is_one_card_with_all_its_money(
    fault: ProxyFault, keys_kept: bool
) -> None:
    with http_world(keys_kept=keys_kept) as world:
        effect, saved = HELP.create(world, world.new_serial(), 250_00), Saved()
        world.proxy.fail_next(fault, is_write)

        with suppress(InDoubt, Throttled):
            world.side.apply(effect, saved)
        world.settle_late()
        again = replace(effect, progress=saved.progress)
        applied = world.side.apply(again, saved)

        assert world.side.find(again) == Found(1, applied.native_id)
        assert world.balance(CardRef(applied.native_id)) == 250_00
        assert seen(world.side, CardRef(applied.native_id)).created_by == effect.marker
        assert len(world.emulator.shop.cards) == 1


def test_given_a_card_that_the_shop_sold_under_the_number_then_a_create_takes_nothing_over() -> None:
    with http_world() as world:
        card = world.sell(250_00)
        effect = HELP.create(world, card.serial or Serial("x"), 250_00)
        with pytest.raises(Refused) as caught:
            world.side.apply(replace(effect, progress={"sent": "yes"}), Saved())

        assert (caught.value.reason, caught.value.native_id) == (Refusal.TAKEN, card.native_id)
        assert world.side.find(effect) == NotFound()


def test_given_more_changes_than_a_page_then_each_card_is_told_and_it_goes_on_from_there() -> None:
    with http_world() as world:
        sold = {world.sell(10_00).native_id for _ in range(205)}
        hints, cursor = drain(world.side.hints(CHANGES, None))
        assert {hint.card.native_id for hint in hints} == sold
        assert list(world.side.hints(CHANGES, cursor)) == []
        listed = list((world.side.abilities.lister or world.side).list_cards(lambda count: None))
        assert {one.seen.native_id for one in listed} == sold


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"balance": 70.0}, "`balance` is no text"),
        ({"balance": "70"}, "has not the decimals"),
        ({"balance": "71.00"}, "do not add up"),
        ({"id": "66-0000 00000000137"}, "its `id` is its number"),
        ({"expires_on": "2027-1-1"}, "is no date"),
        ({"expires_on": "0001-01-01"}, "never is null"),
        ({"movements": None}, "lists no movements"),
        ({"currency": ""}, "`currency` is no text"),
    ],
)
def test_given_a_card_that_is_not_as_agreed_then_it_is_unreadable_and_its_number_is_in_no_word(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, object], why: str
) -> None:
    with http_world() as world:
        card = world.sell(100_00)
        world.spend(card, 30_00)
        show = world.emulator._card
        number = number_of(card)
        change = {**change, "id": number[:2] + "-" + number[2:]} if "id" in change else change
        monkeypatch.setattr(world.emulator, "_card", lambda one: {**show(one), **change})

        shown = observe(world.side, card)

        assert isinstance(shown, Unreadable)
        assert why in shown.reason
        assert number not in shown.reason


def test_given_a_wrong_key_then_the_side_is_closed_and_says_what_to_do() -> None:
    with http_world() as world:
        stranger = side_at(world.proxy.url, key="another-key")
        with pytest.raises(SideClosed, match="does not accept the key"):
            stranger.identify()
        report = stranger.examine(wanted())
        assert point(report, "access").verdict is Verdict.MISSING
        assert "another-key" not in str(report)
        stranger.close()


def test_given_a_shop_of_fewer_features_then_the_side_declares_them_and_the_doctor_compares() -> None:
    with http_world(features=("debit",)) as world:
        side = side_at(world.proxy.url, features=["debit"])
        can = side.capabilities
        assert (can.creates, can.credits, can.debits, can.sets_expiry) == (False, False, True, False)
        assert can.sets_status == frozenset()
        with pytest.raises(Refused):
            side.apply(HELP.credit(world, world.sell(1_00), 1_00), Saved())
        assert point(side.examine(wanted()), "features").verdict is Verdict.OK
        assert point(world.side.examine(wanted()), "features").verdict is Verdict.MISSING
        side.close()


@pytest.mark.parametrize(("kept", "verdict"), [(True, Verdict.OK), (False, Verdict.WARNING)])
def test_given_a_probe_then_it_tells_whether_a_key_counts_once_and_puts_the_card_back(
    kept: bool, verdict: Verdict
) -> None:
    with http_world(keys_kept=kept) as world:
        card = world.sell(10_00)
        side = side_at(world.proxy.url, once=False)

        findings = probed(side, card.serial, Notes())

        assert point(findings, "key_applies_once").verdict is verdict
        assert point(findings, "probe").verdict is Verdict.OK
        assert world.balance(card) == 10_00
        report = side.examine(
            wanted(card=card.serial, webhook_url="https://giftsync.example/webhooks/webshop")
        )
        assert {one.point: one.verdict for one in report.findings} == {
            "access": Verdict.OK,
            "features": Verdict.OK,
            "numbers": Verdict.OK,
            "webhooks": Verdict.OK,
            "card": Verdict.OK,
            "key_applies_once": Verdict.WARNING,
        }
        side.close()


def test_given_a_changed_card_then_the_shop_delivers_a_webhook_that_is_proved() -> None:
    with http_world() as world, Inbox("/webhooks/webshop").served() as inbox:
        world.control("webhooks", {"url": inbox.url, "secret": SECRET})
        card = world.sell(10_00)
        assert seen_in_time(lambda: bool(inbox.came))

        ((headers, body),) = inbox.came
        delivery = world.side.read_delivery(headers, body)
        assert delivery is not None
        assert delivery.card == CardRef(card.native_id)


@pytest.mark.parametrize("change", ["old", "ahead", "secret", "id", "none", "two", "other"])
def test_given_a_delivery_that_is_not_the_shops_then_it_is_refused(change: str) -> None:
    with http_world() as world:
        event, body = world.emulator.notifier.event("gc_000001")
        at, secret = datetime.now(UTC), SECRET
        if change in ("old", "ahead"):
            at = datetime.fromtimestamp(at.timestamp() + (301 if change == "ahead" else -301), UTC)
        if change == "secret":
            secret = "whsec_" + base64.b64encode(b"another secret of twenty").decode()
        headers = signed_headers(secret, event, at, body)
        if change == "id":
            headers["webhook-id"] = "msg_other"
        if change == "none":
            headers["webhook-signature"] = ""
        if change == "two":
            # While a secret is exchanged there are two signatures.
            headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
            assert world.side.read_delivery(headers, body) is not None
            return
        if change == "other":
            body = b'{"type": "order.paid", "data": {}}'
            headers = signed_headers(SECRET, event, at, body)
            assert world.side.read_delivery(headers, body) is None
            return
        with pytest.raises(InvalidSignature):
            world.side.read_delivery(headers, body)


def test_given_its_table_then_a_side_is_made_and_what_is_wrong_is_named() -> None:
    assert connector_type("http").title == "A shop with the HTTP contract"
    section = HttpSection.model_validate({"connector": "http", "url": "https://shop.example/gs", "key": "k"})
    plain = CONNECTOR.build(section, context_of())
    assert not plain.capabilities.applies_marker_once
    assert plain.abilities.listener is None
    proved = CONNECTOR.build(section, replace(context_of(), proved=lambda identity: ["key_applies_once"]))
    assert proved.capabilities.applies_marker_once
    for wrong in ({"webhook_secret": "whsec_short"}, {"number_length_min": 21}):
        table = {"connector": "http", "url": "https://shop.example/gs", "key": "k", **wrong}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CONNECTOR.build(HttpSection.model_validate(table), context_of())
    with pytest.raises(ValueError, match="url"):
        HttpSection.model_validate({"connector": "http", "url": "http://shop.example/gs", "key": "k"})


def test_given_a_status_and_a_date_then_each_is_set_alone() -> None:
    with http_world() as world:
        card = world.sell(100_00)
        dated = Effect("gs-http00001", EffectKind.SET_EXPIRY, card, "NOK", expires_on=date(2031, 5, 17))
        world.side.apply(dated, Saved())
        world.side.apply(
            Effect("gs-http00002", EffectKind.SET_STATUS, card, "NOK", status=CardStatus.SUSPENDED), Saved()
        )

        shown = observe(world.side, card)
        assert isinstance(shown, Seen)
        assert (shown.status, shown.expires_on) == (CardStatus.SUSPENDED, date(2031, 5, 17))
