"""A card is found by its buyer's mail address, of which the ledger keeps a keyed hash only."""

from __future__ import annotations

import json

import pytest

from connectors.api.feed import ReceiptLine
from mappings.contact import Contact
from mappings.serials import Serial
from sync.ledger.support.buyers import Buyers, Whom
from sync.support.finding import find
from tests.integration.shop import FLOW, SERIAL, Shop

KARI = Contact("kari@example.com", "+4799999999")


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """A card that a till sold to a customer it knows; nobody is to be told of anything."""
    ref = shop.sell(FLOW, 30_000)
    line = ReceiptLine("order:sold:0", shop.clock(), 30_000, "sale", order="7")
    shop.arrive(FLOW, ref, contact=KARI, line=line, sold_here=True)
    assert shop.sync().unfinished == 0
    return shop


def found_by(shop: Shop, what: str) -> list[tuple[int, tuple[str, ...]]]:
    return [(hit.card.id, hit.why) for hit in find(shop.link, what).hits]


@pytest.mark.parametrize("typed", ["kari@example.com", " Kari@Example.COM "])
def test_given_a_mail_address_then_the_card_that_was_sold_to_it_is_found(sold: Shop, typed: str) -> None:
    assert found_by(sold, typed) == [(sold.card_id(SERIAL), ("its buyer's mail address",))]


@pytest.mark.parametrize("typed", ["kari@example.org", "ola@example.com", "kari@", "@"])
def test_given_another_address_or_none_then_nothing_is_found(sold: Shop, typed: str) -> None:
    assert found_by(sold, typed) == []


def test_given_the_ledger_then_the_address_is_nowhere_in_it(sold: Shop) -> None:
    everything = json.dumps([sold.rows("receipt_lines"), sold.everything()], default=str)

    assert "kari" not in everything.casefold()
    assert sold.row("receipt_lines")["buyer_index"] not in (None, *KARI.digests())


def test_given_a_request_to_erase_then_the_card_is_found_by_the_address_no_more(sold: Shop) -> None:
    buyers = Buyers(sold.engine, sold.vault)
    assert buyers.known([], KARI.digests()) == [
        {"receipt of": "7", "email": "as a keyed hash, by which the card is found"}
    ]

    assert buyers.erase(Whom([], KARI.digests()), FLOW, sold.clock()).cards == 1

    assert found_by(sold, KARI.email) == []
    assert buyers.known([], KARI.digests()) == []
    assert find(sold.link, Serial(SERIAL).reveal()).hits


def test_given_a_request_about_somebody_else_then_the_address_stays(sold: Shop) -> None:
    Buyers(sold.engine, sold.vault).erase(Whom([], Contact("ola@example.com").digests()), FLOW, sold.clock())

    assert len(found_by(sold, KARI.email)) == 1
