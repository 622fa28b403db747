"""The buyer of a new card is told of it, at most once; whatever goes wrong with that holds nothing up."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.api.effect import Effect, EffectKind
from connectors.api.webhooks import Delivery
from connectors.memory import MemoryFault
from connectors.shopify.privacy import PrivacyTopics
from mappings.contact import Contact
from sync import crashpoints
from sync.arrivals.missing import add_missing
from sync.decisions.resolutions import Action
from sync.ledger.database.marks import switched_on_since
from sync.ledger.support.buyers import Buyers
from sync.model import SideRules
from sync.support.privacy import Privacy
from sync.support.settle import Resolution, Resolved, resolve
from tests.integration.shop import FLOW, SERIAL, SHOPIFY, Shop
from tests.support import Crashed

MakeShop = Callable[..., Shop]
BUYER = Contact("kari@example.com", "+4790012345")


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """Buyers of new cards are told through Shopify, from now on."""
    made = make_shop(rules={SHOPIFY: SideRules(notifies=True)}, threads=1)
    made.intake = replace(made.intake, contacts_since=made.clock())
    made.matcher = replace(made.matcher, intake=made.intake)
    made.worker.matcher = made.matcher
    return made


def sell(shop: Shop, contact: Contact | None = BUYER) -> None:
    shop.sides[FLOW].sell(SERIAL, 10_000, contact=contact)


def fails(shop: Shop, fault: MemoryFault, times: int = 1) -> None:
    """The next messages meet this; nothing else does."""
    left = [fault] * times

    def meets(effect: Effect) -> MemoryFault | None:
        return left.pop() if effect.kind is EffectKind.NOTIFY and left else None

    shop.sides[SHOPIFY]._fault = meets


def told(shop: Shop) -> int:
    """How many messages went out."""
    return len(shop.sides[SHOPIFY].told)


def waiting(shop: Shop) -> list[str]:
    return [c["kind"] for c in shop.rows("conflicts") if c["closed_at"] is None]


def kept(shop: Shop) -> int:
    """In how many places the ledger still knows how the buyer is reached."""
    rows = shop.rows("presences") + shop.rows("arrivals")
    return sum(row["contact_sealed"] is not None for row in rows)


def still_in_step(shop: Shop) -> None:
    """What is spent goes on being taken over."""
    shop.move(FLOW, -1_000)
    shop.sync()
    assert shop.shown() == {FLOW: 9_000, SHOPIFY: 9_000}


def test_given_a_card_sold_in_a_store_then_its_buyer_is_told_once_and_forgotten(shop: Shop) -> None:
    sell(shop)

    shop.sync()
    shop.sync()

    assert (shop.shown(), told(shop)) == ({FLOW: 10_000, SHOPIFY: 10_000}, 1)
    assert shop.sides[SHOPIFY].cards[shop.native(SHOPIFY)].contact == BUYER
    assert (kept(shop), waiting(shop)) == (0, [])


def test_given_the_side_is_busy_or_out_of_reach_then_the_buyer_is_told_later(shop: Shop) -> None:
    sell(shop)
    fails(shop, MemoryFault.NOT_SENT, 3)

    shop.sync()

    assert (told(shop), kept(shop), waiting(shop)) == (1, 0, [])


@pytest.mark.parametrize(
    ("fault", "went_out"), [(MemoryFault.ANSWER_LOST, 1), (MemoryFault.DROPPED, 0), (MemoryFault.LATE, 1)]
)
def test_given_a_lost_answer_then_nothing_is_sent_again_and_a_person_is_told(
    shop: Shop, fault: MemoryFault, went_out: int
) -> None:
    sell(shop)
    fails(shop, fault)

    shop.sync()
    shop.sides[SHOPIFY].land_late()
    shop.sync()

    assert (told(shop), waiting(shop)) == (went_out, ["notification"])
    assert "may or may not" in shop.row("conflicts")["summary"]
    still_in_step(shop)


def test_given_a_refusal_then_a_person_is_told_and_the_card_stays_in_step(shop: Shop) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)

    shop.sync()

    assert (told(shop), waiting(shop)) == (0, ["notification"])
    assert "was not told" in shop.row("conflicts")["summary"]
    still_in_step(shop)


def test_given_a_person_says_retry_then_the_buyer_is_told_once_however_often_it_is_said(shop: Shop) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)
    shop.sync()
    retry = Resolution(Action.RETRY, "kari", "the app has the scope now")

    assert resolve(shop.link, 1, retry, preview=True).planned[0].kind is EffectKind.NOTIFY
    shop.sync()
    assert told(shop) == 0
    resolve(shop.link, 1, retry)
    assert resolve(shop.link, 1, retry) == Resolved(already_closed=True)
    shop.sync()

    assert (told(shop), kept(shop), waiting(shop)) == (1, 0, [])


@pytest.mark.parametrize("action", [Action.ACKNOWLEDGE, Action.IGNORE])
def test_given_a_person_settles_it_otherwise_then_how_the_buyer_is_reached_is_forgotten(
    shop: Shop, action: Action
) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)
    shop.sync()
    assert kept(shop) == 1

    resolve(shop.link, 1, Resolution(action, "kari", "I rang them"))
    shop.sync()

    assert (told(shop), kept(shop), waiting(shop)) == (0, 0, [])


@pytest.mark.parametrize("nth", range(9))
@pytest.mark.parametrize("point", ["execute.sent", "execute.called", "commit.before", "commit.after"])
def test_given_the_process_dies_at_any_step_then_no_second_message_goes_out(
    shop: Shop, crash_after: Callable[[str, int], None], point: str, nth: int
) -> None:
    ref = shop.sell(FLOW, 10_000)
    shop.matcher.match(shop.arrive(FLOW, ref, contact=BUYER, sold_here=True, at=shop.clock()))
    card_id = shop.card_id()
    crash_after(point, nth)
    with contextlib.suppress(Crashed):
        shop.work_until_quiet(card_id)
    crashpoints.install(None)
    shop.store.free_all(shop.clock())

    shop.work_until_quiet(card_id)
    shop.work_until_quiet(card_id)

    # Told once, or a person is asked; both when the worker died before it could note the answer.
    assert told(shop) <= 1
    assert told(shop) == 1 or waiting(shop) == ["notification"]
    still_in_step(shop)


def test_given_a_card_that_was_sold_before_then_nobody_is_told(shop: Shop) -> None:
    shop.intake = replace(shop.intake, contacts_since=shop.clock.advance(60))
    shop.clock.advance(-60)
    shop.worker.matcher = shop.matcher = replace(shop.matcher, intake=shop.intake)
    sell(shop)

    shop.sync()

    assert (shop.shown(), told(shop), kept(shop)) == ({FLOW: 10_000, SHOPIFY: 10_000}, 0, 0)


def test_given_cards_are_uploaded_that_exist_already_then_nobody_is_told(make_shop: MakeShop) -> None:
    shop = make_shop(rules={SHOPIFY: SideRules(creates=False)}, threads=1)
    sell(shop)
    shop.sync()
    rules = {**shop.link.rules.sides, SHOPIFY: SideRules(notifies=True)}
    link = replace(shop.link, rules=replace(shop.link.rules, sides=rules))

    add_missing(replace(shop.matcher, link=link))
    shop.worker.link = link
    shop.sync()

    assert (shop.shown(), told(shop)) == ({FLOW: 10_000, SHOPIFY: 10_000}, 0)


def answered(shop: Shop, folder: Path, delivery: Delivery) -> bool:
    asked = PrivacyTopics().privacy_request(delivery)
    assert asked is not None
    privacy = Privacy(Buyers(shop.engine, shop.vault), shop.sides, shop.clock, folder)
    return privacy.answer(SHOPIFY, delivery, asked)


@pytest.mark.parametrize("topic", ["customers/redact", "shop/redact"])
def test_given_the_buyer_is_to_be_erased_while_a_message_waits_then_they_are_not_reached(
    shop: Shop, tmp_path: Path, topic: str
) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)
    shop.sync()
    digests = ",".join(f'"{one}"' for one in BUYER.digests())
    subject = f'{{"orders": [], "contacts": [{digests}]}}' if topic == "customers/redact" else ""

    assert answered(shop, tmp_path, Delivery("one", topic, subject))

    assert kept(shop) == 0
    assert shop.row("privacy_requests")["cards"] == 1
    resolve(shop.link, 1, Resolution(Action.RETRY, "kari", "again"))
    shop.sync()
    assert (told(shop), waiting(shop)) == (0, ["notification"])


def test_given_the_buyer_asks_what_is_known_while_a_message_waits_then_they_are_told_of_it(
    shop: Shop, tmp_path: Path
) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)
    shop.sync()
    subject = json.dumps({"orders": [], "contacts": sorted(BUYER.digests())})

    answered(shop, tmp_path, Delivery("one", "customers/data_request", subject))

    (export,) = tmp_path.glob("*.json")
    told = {"card": f"••••{SERIAL[-4:]}", "email": BUYER.email, "phone": BUYER.phone}
    assert json.loads(export.read_text()) == {"cards": [told]}


def test_given_a_request_about_somebody_else_then_the_buyer_stays_known(shop: Shop, tmp_path: Path) -> None:
    sell(shop)
    fails(shop, MemoryFault.REFUSED)
    shop.sync()
    other = next(iter(Contact("ola@example.com").digests()))

    subject = f'{{"orders": [], "contacts": ["{other}"]}}'
    answered(shop, tmp_path, Delivery("one", "customers/redact", subject))

    assert kept(shop) == 1


def test_given_it_is_switched_off_and_on_then_what_was_sold_in_between_is_not_new(shop: Shop) -> None:
    first = switched_on_since(shop.engine, "told", shop.clock(), on=True)
    shop.clock.advance(60)
    assert switched_on_since(shop.engine, "told", shop.clock(), on=True) == first
    assert switched_on_since(shop.engine, "told", shop.clock(), on=False) is None
    shop.clock.advance(60)

    assert switched_on_since(shop.engine, "told", shop.clock(), on=True) == shop.clock()
