"""Telling the buyer of a new card through the emulated shop: found or made, attached, told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connectors.api.effect import Effect, EffectKind, no_save
from connectors.api.errors import InDoubt, NotSent, Refusal, Refused, SideClosed
from connectors.kit.contract import SideContract
from connectors.shopify import ShopifySide
from mappings.contact import Contact
from sandbox.faults import Fault, FaultKind
from sandbox.shopify import ALL_SCOPES, ShopifyBehaviour

from .loopback import FailOnce
from .test_shopify import ShopifyWorld, opened_shop

KARI = Contact("kari@example.com", "+4790012345")
LOST = Fault(FaultKind.DROP_RESPONSE, applied=True, delay_ms=0)


@contextmanager
def opened(
    *, attaching_notifies: bool = False, **settings: Any
) -> Iterator[tuple[ShopifyWorld, ShopifySide]]:
    with opened_shop(**settings) as world:
        side = world.side(notifies=True, attaching_notifies=attaching_notifies)
        yield world, side
        side.close()


def made(world: ShopifyWorld, side: ShopifySide, contact: Contact | None = KARI) -> Effect:
    """A new card of giftsync's, and the effect that tells its buyer."""
    create = SideContract().create(world, world.new_serial(), 250_00)
    native_id = side.apply(create, no_save).native_id
    card = type(create.card)(native_id=native_id)
    return Effect("gs-tell1", EffectKind.NOTIFY, card, world.currency, contact=contact)


def told(world: ShopifyWorld) -> list[str]:
    """Who got a message, once for each."""
    state = world.emulator.state
    assert state is not None
    return [one.to for card in state.cards for one in card.notifications or ()]


def people(world: ShopifyWorld) -> list[tuple[str | None, str | None, str | None]]:
    state = world.emulator.state
    assert state is not None
    return [(one.email, one.phone, one.first_name) for one in state.customers]


def test_given_an_unknown_buyer_then_they_are_made_with_an_address_alone_and_told_once() -> None:
    with opened() as (world, side):
        side.apply(made(world, side), no_save)

        assert people(world) == [("kari@example.com", None, None)]
        assert told(world) == ["kari@example.com"]


@pytest.mark.parametrize(
    "contact",
    [Contact("kari@example.com"), Contact("other@example.com", "+4790012345")],
    ids=["email", "phone"],
)
def test_given_a_buyer_whom_the_shop_knows_then_nobody_is_made(contact: Contact) -> None:
    with opened() as (world, side):
        side.apply(made(world, side, Contact("", "+4790012345")), no_save)
        state = world.emulator.state
        assert state is not None
        next(iter(state.customers)).email = "kari@example.com"

        side.apply(made(world, side, contact), no_save)

        assert len(people(world)) == 1
        assert told(world) == ["+4790012345", "kari@example.com"]


def test_given_attaching_tells_by_itself_then_no_second_message_is_asked_for() -> None:
    behaviour = ShopifyBehaviour(customer_by_update_is_notified=True)
    with opened(attaching_notifies=True, behaviour=behaviour) as (world, side):
        side.apply(made(world, side), no_save)

        assert told(world) == ["kari@example.com"]


def test_given_a_trial_shop_then_it_is_a_refusal_and_nobody_is_told() -> None:
    with opened(behaviour=ShopifyBehaviour(trial_shop=True)) as (world, side):
        with pytest.raises(Refused, match="on a trial plan it never does") as caught:
            side.apply(made(world, side), no_save)

        assert (caught.value.reason, told(world)) == (Refusal.MISSING_DETAIL, [])


def test_given_a_deactivated_card_then_it_is_a_refusal_and_nobody_is_told() -> None:
    with opened() as (world, side):
        tell = made(world, side)
        state = world.emulator.state
        assert state is not None
        next(iter(state.cards)).deactivated_at = state.now()

        with pytest.raises(Refused, match="deactivated") as caught:
            side.apply(tell, no_save)

        assert (caught.value.reason, told(world)) == (Refusal.NOT_ACTIVE, [])


def test_given_the_scope_is_missing_then_the_side_says_so_at_its_start_and_a_message_is_refused() -> None:
    with opened(scopes=tuple(one for one in ALL_SCOPES if one != "write_customers")) as (world, side):
        with pytest.raises(SideClosed, match="write_customers"):
            side.identify()
        with pytest.raises(Refused, match="read_customers"):
            side.apply(made(world, side), no_save)

        assert told(world) == []


@pytest.mark.parametrize("lost", ["customerCreate", "giftCardUpdate"])
def test_given_a_lost_answer_before_the_message_then_it_is_all_done_again_and_told_once(lost: str) -> None:
    with opened() as (world, side):
        tell = made(world, side)
        world.emulator.faults = FailOnce(match=lost, fault=LOST)

        with pytest.raises(NotSent):
            side.apply(tell, no_save)
        assert told(world) == []
        side.apply(tell, no_save)

        assert (len(people(world)), told(world)) == (1, ["kari@example.com"])


def test_given_the_answer_to_the_message_is_lost_then_it_is_in_doubt() -> None:
    with opened() as (world, side):
        tell = made(world, side)
        world.emulator.faults = FailOnce(match="giftCardSendNotification", fault=LOST)

        with pytest.raises(InDoubt):
            side.apply(tell, no_save)

        assert told(world) == ["kari@example.com"]
