"""A link begins only with sides that are the ones it was made with, and each a system of its own."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from cli.checkup import same_systems
from connectors.api.capabilities import Identity
from connectors.api.errors import SideClosed
from connectors.memory import MemorySide
from sync.ledger.sides.identities import known_side
from sync.worker.identity import check_identity
from tests.support import Clock


def test_given_two_sides_that_are_one_system_then_the_second_is_refused_and_not_remembered(
    engine: Engine, clock: Clock
) -> None:
    web, outlet = MemorySide("web", clock), MemorySide("outlet", clock)
    outlet.answers_as = web.answers_as

    check_identity(engine, web, None, clock(), ("web", "outlet"))
    with pytest.raises(SideClosed, match="outlet and web are the same system"):
        check_identity(engine, outlet, None, clock(), ("web", "outlet"))

    assert known_side(engine, "outlet") is None
    # A side that is no longer in the link says nothing about those that are.
    assert check_identity(engine, outlet, None, clock(), ("outlet", "store")).identity == web.answers_as


def test_given_what_the_sides_say_then_each_that_is_one_before_it_is_named() -> None:
    shop, store = Identity("kaffe", "NOK", "Europe/Oslo"), Identity("7/70", "NOK", "Europe/Oslo")

    assert same_systems({"web": shop, "till": store, "outlet": shop}) == {"outlet": "web"}
