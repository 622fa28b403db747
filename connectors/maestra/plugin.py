"""The connector type `maestra`: its table in the configuration, and how a side is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType
from connectors.api.settings import (
    HTTP_HERE,
    Bool,
    Currency,
    Secret,
    SideSection,
    Text,
    Uid,
    Url,
    check_there,
    form,
)

if TYPE_CHECKING:
    from connectors.maestra.side import MaestraSide

ImportOperation = Literal["DirectCrm.GiftCards.ImportNew", "DirectCrm.GiftCards.Import"]


class MaestraSection(SideSection):
    """A project of Maestra (Mindbox). Operation names are the project's own: its administrator tells them."""

    url: Annotated[Url, form(f"an address; {HTTP_HERE}")] = "https://api.maestra.io"
    """Where Maestra answers."""

    endpoint: Annotated[Uid, form("the endpoint's id")]
    """The endpoint of the project (`endpointId`). The side is known by it."""

    key: Annotated[Secret | None, form("the secret key")] = None
    """The endpoint's secret key."""

    key_file: Annotated[str | None, form("a path")] = None
    """Instead of `key`: a file that holds it and nothing else."""

    currency: Currency
    """The currency of the project's cards; the API does not tell it."""

    calculate_operation: Annotated[Text, form("an operation's name")]
    """The operation that calculates an order without saving it: a card's balance is read by it."""

    pay_operation: Annotated[Text | None, form("an operation's name")] = None
    """The operation that saves a paid order. Left out, what is spent elsewhere is not taken off here."""

    sell_operation: Annotated[Text | None, form("an operation's name")] = None
    """The operation that saves an order which sells a card; with `pool_product`. Left out, no cards are
    made."""

    cancel_operation: Annotated[Text | None, form("an operation's name")] = None
    """The operation that cancels an order. The probe uses it to put its test card back."""

    import_operation: Annotated[ImportOperation, form("one of both names")] = "DirectCrm.GiftCards.ImportNew"
    """The operation that imports new cards; Maestra's pages name both."""

    payment_type: Annotated[Text, form("a word")] = "giftCard"
    """What the project calls a payment with a gift card."""

    cvv_field: Annotated[Text, form("the name of a field")] = "cvv"
    """Where a payment's CVV stands. giftsync has one only while an import reads it, and keeps none."""

    product_system: Annotated[Text, form("an external system's name")] = "webSite"
    """The external system that product ids are of."""

    product_column: Annotated[Text, form("the name of a column")] = "ProductIdWebSite"
    """The column of the pool's product in a file of new cards: `ProductId` and the external system."""

    debit_product: Annotated[Text, form("a product's id")]
    """The technical product that a card pays for when money is taken off it."""

    pool_product: Annotated[Text | None, form("a product's id")] = None
    """The product of the pool that new cards are of. Its cards have any value, and need no CVV."""

    imports_new_cards: Bool = False
    """Proved for this project: an imported number is a card that waits to be sold. If false, no cards are
    made. `giftsync doctor --probe` proves it."""

    absent_reasons: Annotated[list[Text], form('a list such as ["Gift card is not found"]')] = Field(
        default_factory=list
    )
    """What Maestra says of a number that no card has. Any other words leave a card unreadable. `giftsync
    doctor` shows them."""

    known_order_reasons: Annotated[list[Text], form("a list of sentences")] = Field(default_factory=list)
    """What Maestra says of an order whose external id is known. `giftsync doctor --probe` shows the words.
    Once they are named, an order whose answer was lost is sent again, and this answer says that it is
    there."""

    order_id_applies_once: Bool = False
    """Proved for this project: an order that is saved again under its external id moves no money again.
    `giftsync doctor --probe` proves it."""

    settle_lost_payments: Bool = True
    """A payment whose answer was lost counts as carried out if the card then holds exactly that much less
    than just before. A customer who spends the very same amount within these seconds cannot be told from it.
    If false, a person is asked, unless an order can be sent again safely."""

    gather_seconds: Annotated[float, Field(ge=0, le=20), form("a number, such as 5")] = 5.0
    """For how long new cards are gathered before one file imports them: Maestra takes 60 files an hour."""

    polls_per_second: Annotated[float, Field(gt=0, le=100), form("a number, such as 1")] = 1.0
    """How many cards per second are looked at. Maestra publishes no limit for this."""

    @model_validator(mode="after")
    def _is_whole(self) -> MaestraSection:
        check_there(self, ["key"])
        if (self.pool_product is None) != (self.sell_operation is None):
            check_there(self, ["pool_product", "sell_operation"])
        return self

    @property
    def looks_per_second(self) -> float:
        return self.polls_per_second


def build(section: MaestraSection, context: BuildContext) -> MaestraSide:
    from time import monotonic

    from connectors.maestra.client import ProjectClient
    from connectors.maestra.doctor import NEW_CARDS, ORDER_ONCE
    from connectors.maestra.model import Wire
    from connectors.maestra.side import Habits, MaestraSide

    identity = f"maestra:{section.endpoint}"
    proved = frozenset(context.proved(identity))
    key = section.key.get_secret_value() if section.key is not None else ""
    return MaestraSide(
        ProjectClient(section.url, key, section.endpoint, context.clock, monotonic, context.pause),
        context,
        identity=identity,
        wire=Wire(
            currency=section.currency,
            calculate=section.calculate_operation,
            sell=section.sell_operation or "",
            pay=section.pay_operation or "",
            cancel=section.cancel_operation or "",
            new_cards=section.import_operation,
            payment_type=section.payment_type,
            cvv_field=section.cvv_field,
            product_system=section.product_system,
            technical_product=section.debit_product,
            pool_product=section.pool_product or "",
            product_column=section.product_column,
        ),
        habits=Habits(
            absent_reasons=frozenset(section.absent_reasons),
            known_order_reasons=frozenset(section.known_order_reasons),
            order_id_applies_once=section.order_id_applies_once or ORDER_ONCE in proved,
            imports_new_cards=section.imports_new_cards or NEW_CARDS in proved,
            believes_balance=section.settle_lost_payments,
        ),
        id_key=key.encode(),
        gather_seconds=section.gather_seconds,
    )


CONNECTOR: Final = ConnectorType(
    name="maestra",
    title="Maestra",
    section=MaestraSection,
    build=build,
    webhook_keys=(),
    in_template=False,
)
