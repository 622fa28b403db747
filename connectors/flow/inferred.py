"""Inferred behaviour that a probe can prove (flow.md §5, §9): what each needs, and what it allows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from connectors.flow.settings import FlowSettings
from mappings.sentences import say


@dataclass(frozen=True)
class Inferred:
    """One such behaviour. `setting` is its name in FlowSettings, in the side's table and among the
    verdicts."""

    setting: str
    #: What Flow does, if it is so.
    claim: str
    #: What the link can then do.
    allows: str
    #: What it needs in the side's table before it can be tried or used.
    needs: tuple[str, ...] = ()
    #: Whether a probe on one test card can prove it.
    provable: bool = True


INFERRED: Final = (
    Inferred(
        "api_settlement_debits",
        say("an order made by API and paid with a gift card takes the money from the card"),
        say("take value spent online off the store card"),
        ("debit_product_uid",),
    ),
    Inferred(
        "refund_settlement_credits",
        say("a return made by API and paid out to a gift card puts the money on the card"),
        say("put money back on a store card"),
        ("debit_product_uid",),
    ),
    Inferred(
        "api_issue_allowed",
        say("a settled order made by API issues or loads the card that its item names"),
        say("load store cards, once it may also choose their number"),
        ("gift_card_product_uids", "item_number_field"),
    ),
    Inferred(
        "caller_may_choose_number",
        say("a card that is issued by API gets the number that giftsync puts on the item"),
        say("make store cards for cards bought online"),
        provable=False,
    ),
    Inferred(
        "order_settles_once",
        say("an order that is settled takes no second settlement"),
        say("send a payment whose answer was lost again after a second, not after the quiet period"),
        ("debit_product_uid",),
    ),
    Inferred(
        "empty_answer_means_absent",
        say("an empty answer says that there is no such card"),
        say("tell a card that is not there from one that cannot be read"),
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
