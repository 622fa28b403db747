"""`inactive → active ⇄ suspended → closed`: the more restrictive wins."""

from __future__ import annotations

import itertools

from mappings.lifecycle import CardStatus


def test_given_the_statuses_then_this_is_their_order_of_restriction() -> None:
    in_order = sorted(CardStatus, key=lambda status: status.restriction)

    assert in_order == [CardStatus.ACTIVE, CardStatus.INACTIVE, CardStatus.SUSPENDED, CardStatus.CLOSED]


def test_given_any_two_statuses_then_one_of_them_is_more_restrictive() -> None:
    for one, other in itertools.combinations(CardStatus, 2):
        assert one.restriction != other.restriction
