"""Cards that Flow shows and debits with their CVC only: the caller's is passed on, and kept nowhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette

from cli.demo.control import Control
from cli.session import opened_worker
from config.load import load
from console.api.access import SCOPES, Doorkeeper
from console.api.app import PREFIX, create_api, mounted
from console.api.desk import Desk
from console.server import serve
from mappings.serials import Serial
from sync.authority.cards import Cards
from sync.authority.redemptions import Redemptions
from sync.authority.work import Hands, Terms
from sync.decisions.authority import Mode
from sync.ledger.hub.guesses import CARD_MAX, Guesses
from sync.ledger.hub.requests import Requests
from sync.ledger.hub.tokens import ApiTokens
from sync.reconcile.work import Link
from tests.integration.authority.served import CALLS_PER_MINUTE, CallerOfApi


@dataclass
class Store:
    """A till, a card that needs its CVC from now on, and the link."""

    till: CallerOfApi
    link: Link
    number: str
    cvc: str
    flow: Control
    shopify: Control
    sync: Callable[[], object]

    @property
    def wrong(self) -> str:
        return str((int(self.cvc) + 1) % 1000).zfill(3)

    def sell_another(self) -> str:
        """The number of another card of the brand, which giftsync sees while it needs no CVC."""
        number = str(self.flow.move("sell", 10_000)["number"])
        self.sync()
        return number

    def shown(self, number: str = "") -> dict[str, int]:
        sides = {"flow": self.flow, "shopify": self.shopify}
        return {
            name: card.balance_minor
            for name, side in sides.items()
            for card in side.cards()
            if card.serial.lower() == (number or self.number)
        }


@pytest.fixture(params=Mode)
def store(request: pytest.FixtureRequest, config: Path, flow: Control, shopify: Control) -> Iterator[Store]:
    number = str(flow.move("sell", 10_000)["number"])
    with opened_worker(load(config), threading.Event()) as (worker, ledger):
        worker.sync_once()
        cvc = str(flow.call("card", number=number, cvc_required=True)["cvc"])
        hands = Hands(lambda: worker.link, Terms(mode=request.param, claim_seconds=0.0))
        cards = Cards(hands, ledger.pool, Guesses(ledger.engine))
        desk = Desk(hands, cards, Redemptions(hands), Requests(ledger.engine))
        tokens, clock = ApiTokens(ledger.engine, ledger.vault), worker.link.clock
        _, secret = tokens.add("a till", SCOPES, (), CALLS_PER_MINUTE, clock())
        api = Starlette(routes=[mounted(create_api(desk, Doorkeeper(tokens, clock)))])
        with serve(api, "127.0.0.1", 0) as port:
            till = CallerOfApi(f"http://127.0.0.1:{port}{PREFIX}", secret)
            yield Store(till, worker.link, number, cvc, flow, shopify, worker.sync_once)


def _told(answer: requests.Response) -> tuple[int, dict[str, object]]:
    return answer.status_code, {**answer.json(), "request_id": ""}


def test_given_the_right_cvc_then_both_sides_are_debited_and_the_cvc_is_forgotten(store: Store) -> None:
    seen = store.till.post("/giftcards/validate", {"number": store.number, "cvc": store.cvc})
    paid = store.till.pay(store.number, "30.00", cvc=store.cvc)

    assert seen.json()["balance"] == "100.00"
    assert (paid.status_code, paid.json()["state"], paid.json()["confirmed"]) == (201, "completed", True)
    assert store.shown() == {"flow": 7_000, "shopify": 7_000}
    assert store.link.cvcs.of(Serial(store.number)) is None


def test_given_a_wrong_cvc_then_the_answer_is_that_to_an_unknown_number_and_nothing_moves(
    store: Store,
) -> None:
    unknown = _told(store.till.pay("6399000000000001", "30.00", cvc=store.wrong))

    assert _told(store.till.pay(store.number, "30.00", cvc=store.wrong)) == unknown
    validated = store.till.post("/giftcards/validate", {"number": store.number, "cvc": store.wrong})
    assert _told(validated) == unknown
    assert unknown[0] == 404
    assert store.shown() == {"flow": 10_000, "shopify": 10_000}
    assert store.link.store.load(1).in_step


def test_given_too_many_wrong_cvcs_then_the_right_one_is_not_heard_either(store: Store) -> None:
    for _ in range(CARD_MAX):
        store.till.pay(store.number, "30.00", cvc=store.wrong)

    assert store.till.pay(store.number, "30.00", cvc=store.cvc).status_code == 404
    assert store.shown() == {"flow": 10_000, "shopify": 10_000}


def test_given_a_card_that_was_seen_to_need_a_cvc_then_one_without_is_refused_at_once_in_any_mode(
    store: Store,
) -> None:
    unknown = _told(store.till.pay("6399000000000001", "30.00"))
    assert store.till.pay(store.number, "30.00", cvc=store.cvc).status_code == 201

    assert _told(store.till.pay(store.number, "20.00")) == unknown
    assert _told(store.till.post("/giftcards/validate", {"number": store.number})) == unknown
    assert len(store.till.get("/redemptions").json()["items"]) == 1
    assert store.shown() == {"flow": 7_000, "shopify": 7_000}
    assert store.link.store.load(1).in_step


def test_given_a_card_that_needs_no_cvc_any_more_then_it_is_taken_without(store: Store) -> None:
    store.till.pay(store.number, "30.00", cvc=store.cvc)
    store.flow.call("card", number=store.number, cvc_required=False)
    assert (
        store.till.post("/giftcards/validate", {"number": store.number, "look": "sides"}).status_code == 200
    )

    assert store.till.pay(store.number, "20.00").status_code == 201


@pytest.mark.parametrize("store", [Mode.AUTHORISE], indirect=True)
def test_given_no_cvc_then_it_is_refused_like_a_wrong_one(store: Store) -> None:
    assert store.till.pay(store.number, "30.00").json()["code"] == "card_not_accepted"
    fresh = store.till.post("/giftcards/validate", {"number": store.number, "look": "sides"})
    assert fresh.json()["code"] == "card_not_accepted"
    assert store.shown() == {"flow": 10_000, "shopify": 10_000}


@pytest.mark.parametrize("store", [Mode.RECORD], indirect=True)
def test_given_a_kind_of_card_that_needs_a_cvc_then_another_one_is_asked_for_it_before_it_is_recorded(
    store: Store,
) -> None:
    needing, free = store.sell_another(), store.sell_another()
    cvc = str(store.flow.call("card", number=needing, cvc_required=True)["cvc"])
    assert store.till.pay(store.number, "30.00", cvc=store.cvc).status_code == 201

    assert store.till.post("/giftcards/validate", {"number": needing}).json()["code"] == "card_not_accepted"
    assert store.till.pay(needing, "20.00").json()["code"] == "card_not_accepted"
    assert store.till.pay(needing, "20.00", cvc=cvc).json()["confirmed"]
    recorded = store.till.pay(free, "20.00")
    assert (recorded.status_code, recorded.json()["mode"]) == (201, "record")
    store.sync()
    assert store.shown(needing) == store.shown(free) == {"flow": 8_000, "shopify": 8_000}


@pytest.mark.parametrize("store", [Mode.RECORD], indirect=True)
def test_given_a_side_that_cannot_say_whether_it_needs_a_cvc_then_nothing_is_recorded(store: Store) -> None:
    other = store.sell_another()
    assert store.till.pay(store.number, "30.00", cvc=store.cvc).status_code == 201
    store.flow.fail([{"match": "", "kind": "drop_request", "probability": 1.0}], seed=1)

    refused = store.till.pay(other, "20.00")

    assert (refused.status_code, refused.json()["sides"]) == (503, ["flow"])
    assert len(store.till.get("/redemptions").json()["items"]) == 1


@pytest.mark.parametrize("store", [Mode.RECORD], indirect=True)
def test_given_the_first_card_of_a_kind_that_needs_a_cvc_then_it_is_asked_for_before_it_is_recorded(
    store: Store,
) -> None:
    assert store.till.pay(store.number, "20.00").json()["code"] == "card_not_accepted"

    assert store.till.get("/redemptions").json()["items"] == []
    assert store.shown() == {"flow": 10_000, "shopify": 10_000}


@pytest.mark.parametrize("store", [Mode.RECORD], indirect=True)
def test_given_a_side_that_is_silent_about_a_kind_then_it_holds_up_one_payment_and_all_are_recorded(
    store: Store,
) -> None:
    store.flow.call("card", number=store.number, cvc_required=False)
    other = store.sell_another()
    store.flow.fail([{"match": "", "kind": "drop_request", "probability": 1.0}], seed=1)
    flow = store.link.sides["flow"]

    assert store.till.pay(store.number, "20.00").status_code == 201
    asked = flow.usage().calls
    assert store.till.pay(other, "20.00").status_code == 201
    assert flow.usage().calls == asked > 0


@pytest.mark.parametrize("store", [Mode.RECORD], indirect=True)
def test_given_a_card_whose_debit_was_refused_for_its_cvc_then_no_more_is_recorded(store: Store) -> None:
    # The store was asked about its kind just before the card began to need one.
    store.flow.call("card", number=store.number, cvc_required=False)
    assert store.till.pay(store.number, "20.00").status_code == 201
    store.flow.call("card", number=store.number, cvc_required=True)

    assert store.till.pay(store.number, "20.00").status_code == 201
    store.sync()

    assert store.till.pay(store.number, "20.00").json()["code"] == "card_not_accepted"
    assert len(store.till.get("/redemptions").json()["items"]) == 2
