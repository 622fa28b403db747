"""A card that was bought in one of two shops has a number for each place: which is which is said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cli.commands.issuing import number_of
from cli.errors import OperatorError
from cli.places import Places
from connectors.api.capabilities import Place
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.views import CardRow
from sync.model import Card, Presence
from sync.support.statement import Statement, read_out

STORE, OTHER_SHOP = Serial("9900000000001111"), Serial("abcd1234abcd2222")
PLACES = Places({name: Place(name, name, at=f"in {name}") for name in ("shop", "store", "other")})


def presence(side: str, serial: Serial | None) -> Presence:
    return Presence(side, "1", serial, "5678", 100, CardStatus.ACTIVE, None, born=True)


def bought() -> Card:
    numbers = {"shop": None, "store": STORE, "other": OTHER_SHOP}
    presences = tuple(presence(side, serial) for side, serial in numbers.items())
    return Card("NOK", 100, CardStatus.ACTIVE, None, presences)


def test_given_several_numbers_then_the_side_has_to_be_said() -> None:
    assert number_of(bought(), "other", PLACES) == OTHER_SHOP
    with pytest.raises(OperatorError, match=r"several numbers: ••••1111 in store, ••••2222 in other"):
        number_of(bought(), None, PLACES)
    with pytest.raises(OperatorError, match="only the owner of this card knows its number in shop"):
        number_of(bought(), "shop", PLACES)
    with pytest.raises(OperatorError, match="there is no side till"):
        number_of(bought(), "till", PLACES)


def test_given_one_number_then_it_needs_no_side() -> None:
    card = Card("NOK", 100, CardStatus.ACTIVE, None, (presence("store", STORE), presence("other", STORE)))

    assert number_of(card, None, PLACES) == STORE


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((("1111", "in the store"), ("1111", "online")), "1 1 1 1 has"),
        (
            (("5678", "online (no)"), ("1111", "in the store"), ("2222", "online (se)")),
            "5 6 7 8 online (no) and in 1 1 1 1 in the store and in 2 2 2 2 online (se) has",
        ),
    ],
)
def test_what_is_read_out_says_where_each_number_is_used(
    numbers: tuple[tuple[str, str], ...], words: str
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    card = CardRow(1, "NOK", 100, "active", None, False, True, at, (), True)

    assert f"ends in {words}" in str(read_out(Statement(card, "", (), (), numbers=numbers), UTC)[0])
