"""Ground truth: every card as both sandboxes really have it, paired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cli.build import FLOW, SHOPIFY
from cli.demo.control import Control, TrueCard
from sync.ledger.views import CardRow


@dataclass(frozen=True)
class Pair:
    """One card on both sides; None: not there."""

    flow: TrueCard | None
    shopify: TrueCard | None

    @property
    def cards(self) -> tuple[TrueCard, ...]:
        return tuple(one for one in (self.flow, self.shopify) if one is not None)

    @property
    def agrees(self) -> bool:
        """The same balance on both sides. An empty card may be missing on one."""
        return balance_of(self.flow) == balance_of(self.shopify)


@dataclass(frozen=True)
class Truth:
    """Both sides at one moment, or as near to one as two calls come."""

    pairs: tuple[Pair, ...] = ()

    @property
    def agreeing(self) -> int:
        return sum(pair.agrees for pair in self.pairs)

    @property
    def in_step(self) -> bool:
        return self.agreeing == len(self.pairs)

    @property
    def flow_minor(self) -> int:
        return sum(balance_of(pair.flow) for pair in self.pairs)

    @property
    def shopify_minor(self) -> int:
        return sum(balance_of(pair.shopify) for pair in self.pairs)


def balance_of(card: TrueCard | None) -> int:
    return 0 if card is None else card.balance_minor


def read_truth(flow: Control, shopify: Control, links: Mapping[str, str]) -> Truth:
    """Ask both sandboxes. `links` has the Flow id of the Shopify cards whose code is no number."""
    # A number that was generated in advance is no card until it is sold.
    in_flow = {card.id: card for card in flow.cards() if card.issued or card.balance_minor}
    numbers = {card.serial: card.id for card in in_flow.values()}
    pairs = []
    for card in shopify.cards():
        flow_id = numbers.get(card.serial) or links.get(card.id, "")
        pairs.append(Pair(in_flow.pop(flow_id, None), card))
    return Truth((*pairs, *(Pair(card, None) for card in in_flow.values())))


def links_of(cards: Iterable[CardRow]) -> dict[str, str]:
    """Which Flow card belongs to which Shopify card: the one thing that only the ledger knows."""
    return dict(_links(cards))


def _links(cards: Iterable[CardRow]) -> Iterator[tuple[str, str]]:
    for card in cards:
        ids = {p.side: p.native_id for p in card.presences}
        flow_id, shopify_id = ids.get(FLOW), ids.get(SHOPIFY)
        if flow_id is not None and shopify_id is not None:
            yield shopify_id, flow_id
