"""The table of a Flow tenant in the configuration, and what has been proved about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from connectors.api.settings import HTTP_HERE, Bool, Secret, SideSection, Text, Uid, Url, form


class FlowSection(SideSection):
    """The Flow Retail tenant, and what has been proved about it."""

    tenant: Annotated[Uid, form("the tenant's uid")]
    """The tenant's uid, as Flow Admin shows it."""

    store: Annotated[Uid, form("the store's uid")]
    """The uid of the home store: cards are read, and movements are booked, through it."""

    own_cards: Bool = False
    """Whether no card of this home store can be used in another store of the tenant. Without it two sides of
    one tenant are refused: they have the same cards, and each payment would count twice."""

    token: Annotated[Secret, form("the integration token")]
    """The token of an Integration user, made in Flow Admin."""

    token_file: Annotated[str | None, form("a path")] = None
    """Instead of `token`: a file that holds the token and nothing else. A relative path is taken from the
    folder of this file."""

    webhook_token: Annotated[Secret | None, form("the token or password that Flow sends")] = None
    """What Flow sends with its webhooks, as bearer token or password: whatever you gave Flow when you set
    up its HTTP transport. Without it no webhook of Flow's is believed."""

    url: Annotated[Url, form(f'an address such as "https://api.flowretail.com/v2"; {HTTP_HERE}')] = (
        "https://api.flowretail.com/v2"
    )
    """Where the Flow API answers, with its version."""

    extension_code: Literal["FLOWGIFTCARD", "STORE_CREDIT", "BRITANNIA", "PAYEX_GIFTCARD"] = "FLOWGIFTCARD"
    """Which of Flow's gift-card extensions has the cards. Only the first is documented to work as giftsync
    needs; ask Flow's support before you use another."""

    calls_per_second: Annotated[float | None, Field(gt=0, le=1000), form("a number, such as 10")] = None
    """The most calls per second that Flow allows you; it publishes no limit, but its support may name one.
    Left out, giftsync calls as fast as Flow answers, and pauses for as long as it is told to."""

    polls_per_second: Annotated[float, Field(gt=0, le=1000), form("a number, such as 5")] = 5.0
    """How many cards per second are looked at in Flow whether there is news of them or not, those first that
    change most. With `calls_per_second`, at most half of it: the rest is kept for payments and news. With C
    cards, a change that neither webhook nor receipt told is found within 10 * C / polls_per_second seconds,
    and as a rule far sooner."""

    debit_product_uid: Annotated[Uid | None, form("a product uid")] = None
    """The zero-VAT product on which value spent online is booked."""

    gift_card_product_uids: Annotated[dict[str, Uid], form('a table such as { Gavekort = "901" }')] = Field(
        default_factory=dict
    )
    """The GIFTCARD product that sells each brand of cards, by the brand's name as Flow shows it."""

    default_brand: Annotated[Text | None, form("a brand of gift_card_product_uids")] = None
    """The brand of cards that giftsync creates, when there are several."""

    item_number_field: Annotated[Text | None, form("the name of a key")] = None
    """The key of an order item that carries a gift-card number. Flow's support knows it."""

    gift_card_settlement_code: Annotated[Text | None, form("a settlement code")] = None
    """The settlement code of Flow's gift-card payment method. Left out, it is looked for."""

    number_parameter: Annotated[Text | None, form("the key of a parameter")] = None
    """The parameter of that payment method that takes the card's number. Left out, it is told by its name."""

    cvc_parameter: Annotated[Text | None, form("the key of a parameter")] = None
    """The parameter that takes the CVC. Left out, it is told by its name."""

    external_settlement_code: Annotated[Text, form("a settlement code")] = "EXTERNAL_SHOPIFY"
    """The settlement code of the external payment method that pays for cards sold online."""

    gift_card_payment_method_uid: Annotated[Text | None, form("a payment method uid")] = None
    """The gift-card payment method's uid in the home store. Left out, an earlier order tells."""

    external_payment_method_uid: Annotated[Text | None, form("a payment method uid")] = None
    """The external payment method's uid in the home store. Left out, an earlier order tells."""

    api_settlement_debits: Bool = False
    """Proved for this tenant: paying an API order with a gift card takes the money from the card."""

    api_issue_allowed: Bool = False
    """Proved for this tenant: a settled API order issues or loads the card that its item names."""

    caller_may_choose_number: Bool = False
    """Proved for this tenant: the number put on the item is the number of the card that is issued."""

    refund_settlement_credits: Bool = False
    """Proved for this tenant: paying a return out to a gift card puts money on the card."""

    order_settles_once: Bool = False
    """Proved for this tenant: an order that is settled takes no second settlement."""

    empty_answer_means_absent: Bool = False
    """Proved for this tenant: an empty answer says that there is no such card."""

    refund_amounts_negative: Bool = False
    """Whether the amount that settles a return must be negative in this tenant."""

    return_order_type: Annotated[Text, form("an order type of Flow")] = "RETURN"
    """The type of an order that is a return."""

    status_by_active_flag: Bool = False
    """For an older Flow, whose cards have `active` instead of a status. Cards can then not be closed."""

    suspended_status: Annotated[Text | None, form("a status of Flow")] = None
    """The card status that suspends a card and can be taken back. Left out, suspensions are not written."""

    @property
    def known_brands(self) -> Sequence[str]:
        return list(self.gift_card_product_uids)

    @property
    def looks_per_second(self) -> float:
        """Half of the calls that Flow allows is kept for writes and for what hints tell."""
        allowed = self.calls_per_second
        return self.polls_per_second if allowed is None else min(self.polls_per_second, allowed / 2)
