"""Each type of the sandbox declares itself whole: calls that it has, settings that its connector takes."""

from __future__ import annotations

import pytest

from cli.demo.people import Stage
from cli.demo.tally import Tally
from cli.demo.venue import Venue, chosen_sides, sides_words
from cli.demo.wallet import Wallet
from cli.emulators import parse_ports, parse_sides
from cli.errors import OperatorError
from connectors.registry import connector_type
from sandbox.emulated import Act, Deed, Options, People
from sandbox.registry import PLACES, emulated


@pytest.mark.parametrize("name", PLACES)
def test_given_a_type_then_its_settings_are_those_of_its_connector(name: str) -> None:
    kind = emulated(name)
    made = kind.make(Options(cards=3, plan="plus"))
    access = {"url": "http://127.0.0.1:1", **made.access}

    for demo in (False, True):
        keys = kind.settings(access, demo)
        section = connector_type(name).section.model_validate({"connector": name, **keys})
        assert section.connector == name
    assert tuple(made.access) == kind.access
    assert len(made.emulator.cards()) == 3


@pytest.mark.parametrize("name", PLACES)
def test_given_a_type_then_its_people_make_calls_that_it_has(name: str) -> None:
    kind = emulated(name)
    calls = kind.make(Options()).emulator.control()

    assert kind.people.acts
    assert {act.call for act in kind.people.acts} <= set(calls)
    assert kind.pool_call in {"", *calls}


@pytest.mark.parametrize("name", PLACES)
def test_given_the_same_seed_then_the_same_cards(name: str) -> None:
    first, second, other = (
        [card["balance"] for card in emulated(name).make(Options(cards=20, seed=seed)).emulator.cards()]
        for seed in (4, 4, 5)
    )
    assert first == second != other


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ("flow,shopify", "a store and a shop"),
        ("flow,shopify,shopify", "a store and 2 shops"),
        ("shopify,shopify", "2 shops"),
        ("giftlocal,giftlocal,http,http", "Gift Local (2) and 2 shops with the HTTP contract"),
    ],
)
def test_given_several_systems_of_a_type_then_they_are_counted(sides: str, words: str) -> None:
    assert sides_words(parse_sides(sides)) == words


def test_given_a_currency_that_the_system_cannot_have_then_it_says_so() -> None:
    with pytest.raises(ValueError, match="JPY"):
        emulated("lightspeed-x").make(Options(currency="JPY"))


def test_given_a_side_that_cannot_follow_a_load_then_nobody_loads_elsewhere() -> None:
    load, spend = Act(Deed.LOAD, "load", "loaded", 1), Act(Deed.SPEND, "spend", "spent", 1)
    people = People("clerk", (load, spend))
    able = Venue("till", "", people, "number", None)  # type: ignore[arg-type]  # Nobody calls.
    unable = Venue("vouchers", "", people, "number", None, frozenset({Deed.LOAD}))  # type: ignore[arg-type]
    stage = Stage((able, unable), "NOK", Wallet(), Tally(), None)  # type: ignore[arg-type]

    assert stage.acts(able) == [spend]
    assert stage.acts(unable) == [load, spend]


def test_given_names_then_the_demo_has_these_sides() -> None:
    assert chosen_sides("flow, lightspeed-x,shopify", None) == ("flow", "lightspeed-x", "shopify")
    assert chosen_sides("2", None) == ("flow", "shopify")
    assert chosen_sides("3", "memory") == ("flow", "shopify", "memory")
    assert chosen_sides("2", "memory") == ("flow", "shopify", "memory")
    assert chosen_sides("lightspeed-x,memory", None) == ("lightspeed-x", "memory")


@pytest.mark.parametrize("text", ["", "flow", "memory,memory", "flow,nothing", "1", "4", "flow,,"])
def test_given_sides_that_make_no_link_then_it_says_what_there_is(text: str) -> None:
    with pytest.raises(OperatorError) as caught:
        chosen_sides(text, None)

    assert caught.value.remedy


def test_given_a_type_twice_then_the_second_is_a_system_of_its_own() -> None:
    assert parse_sides("flow,shopify,shopify") == ("flow", "shopify", "shopify-2")
    assert parse_sides("shopify,shopify-2,lightspeed-x") == ("shopify", "shopify-2", "lightspeed-x")
    assert chosen_sides("shopify,shopify", None) == ("shopify", "shopify-2")
    first, second = (emulated("shopify").make(Options(cards=20, number=number)) for number in (1, 2))
    assert first.access["shop"] != second.access["shop"]
    assert {one["code"] for one in first.emulator.cards()}.isdisjoint(
        one["code"] for one in second.emulator.cards()
    )
    with pytest.raises(ValueError, match="one account"):
        emulated("lightspeed-r").make(Options(number=2))


def test_given_ports_then_they_are_by_type() -> None:
    assert parse_sides("flow,lightspeed-x") == ("flow", "lightspeed-x")
    assert parse_ports(["lightspeed-x=8123"], ("flow", "lightspeed-x")) == {"lightspeed-x": 8123}
    for bad in ("8123", "shopify=1", "flow=x", "flow=70000", "flow=-1"):
        with pytest.raises(OperatorError):
            parse_ports([bad], ("flow",))
