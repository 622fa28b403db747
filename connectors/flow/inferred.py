"""Inferred behaviour that a probe can prove (flow.md §5, §9): what each needs, and what it allows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from connectors.flow.settings import FlowSettings


@dataclass(frozen=True)
class Inferred:
    """One such behaviour. `setting` is its name in FlowSettings, in [flow] and among the verdicts."""

    setting: str
    #: What Flow does, if it is so.
    claim: str
    #: What the link can then do.
    allows: str
    #: What it needs in [flow] before it can be tried or used.
    needs: tuple[str, ...] = ()
    #: Whether a probe on one test card can prove it.
    provable: bool = True


INFERRED: Final = (
    Inferred(
        "api_settlement_debits",
        "an order made by API and paid with a gift card takes the money from the card",
        "take value spent online off the store card",
        ("debit_product_uid",),
    ),
    Inferred(
        "refund_settlement_credits",
        "a return made by API and paid out to a gift card puts the money on the card",
        "put money back on a store card",
        ("debit_product_uid",),
    ),
    Inferred(
        "api_issue_allowed",
        "a settled order made by API issues or loads the card that its item names",
        "load store cards, once it may also choose their number",
        ("gift_card_product_uids", "item_number_field"),
    ),
    Inferred(
        "caller_may_choose_number",
        "a card that is issued by API gets the number that giftsync puts on the item",
        "make store cards for cards bought online",
        provable=False,
    ),
    Inferred(
        "empty_answer_means_absent",
        "an empty answer says that there is no such card",
        "tell a card that is not there from one that cannot be read",
    ),
)


def missing_needs(settings: FlowSettings, inferred: Inferred) -> list[str]:
    """The settings that it needs and that are not there."""
    return [name for name in inferred.needs if not getattr(settings, name)]


def with_proved(settings: FlowSettings, proved: Collection[str]) -> FlowSettings:
    """The settings with everything switched on that was proved and has what it needs."""
    on = {
        one.setting: True
        for one in INFERRED
        if one.provable and one.setting in proved and not missing_needs(settings, one)
    }
    return replace(settings, **on) if on else settings  # type: ignore[arg-type]
