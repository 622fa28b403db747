"""The connector type `lightspeed-r`: its table in the configuration, and how a side is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field, model_validator

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType
from connectors.api.settings import HTTP_HERE, Bool, Currency, Secret, SideSection, Text, Url, form
from connectors.kit.oauth import check_access, token_source

if TYPE_CHECKING:
    from connectors.lightspeed_r.side import LightspeedRSide

_ADDRESS: Final = "https://api.lightspeedapp.com/API/V3/Account/{account}"
Id = Annotated[str, Field(pattern=r"^[0-9]{1,19}$")]


class LightspeedRSection(SideSection):
    """An account of Lightspeed Retail R-Series."""

    account: Annotated[Id, form("the account's id, of digits")]
    """The account's id, as `GET /API/V3/Account.json` shows it."""

    currency: Currency
    """The currency of the account's cards; the API does not tell it."""

    balance_sign: Annotated[
        Literal["unconfirmed", "negative", "positive"],
        form('one of "unconfirmed", "negative", "positive"'),
    ] = "unconfirmed"
    """How the API shows value on a card: 100 as `-100` is `negative`. Lightspeed's own pages contradict each
    other, so nothing is read or written while it is `unconfirmed`. `giftsync doctor --card NUMBER` shows a
    card whose value you know."""

    url: Annotated[Url | None, form(f"an address; {HTTP_HERE}")] = None
    """Where the account's API answers. Left out, it is made from `account`."""

    token: Annotated[Secret | None, form("an access token")] = None
    """An access token that does not end. Instead of it, the three keys of an app can be given."""

    token_file: Annotated[str | None, form("a path")] = None
    """Instead of `token`: a file that holds it and nothing else."""

    client_id: Annotated[Text | None, form("the app's client id")] = None
    """Of an app with OAuth, with `client_secret` and `refresh_token`."""

    client_secret: Annotated[Secret | None, form("the app's client secret")] = None
    """The app's client secret."""

    client_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `client_secret`: a file that holds it and nothing else."""

    refresh_token: Annotated[Secret | None, form("the first refresh token")] = None
    """The refresh token that the account's consent gave. The next ones are kept, sealed, in the ledger."""

    refresh_token_file: Annotated[str | None, form("a path")] = None
    """Instead of `refresh_token`: a file that holds it and nothing else."""

    token_url: Annotated[Url, form("an address")] = "https://cloud.lightspeedapp.com/auth/oauth/token"
    """Where access tokens are renewed."""

    employee_id: Annotated[Id | None, form("an id of digits")] = None
    """The employee in whose name giftsync makes sales. Without this and the next four keys nothing is
    written."""

    shop_id: Annotated[Id | None, form("an id of digits")] = None
    """The shop of these sales."""

    register_id: Annotated[Id | None, form("an id of digits")] = None
    """The register of these sales; not `eCom`, which cannot load cards."""

    debit_item_id: Annotated[Id | None, form("an id of digits")] = None
    """An item without stock, such as `Paid online`: the line of a sale that takes money from a card."""

    external_payment_type: Annotated[Id | None, form("an id of digits")] = None
    """The payment type of money that was taken elsewhere, such as `Paid online`: it loads cards."""

    gift_card_payment_type: Annotated[Id, form("an id of digits")] = "5"
    """The payment type of gift cards."""

    marker_field: Annotated[Literal["referenceNumber", "note"], form('one of "referenceNumber", "note"')] = (
        "referenceNumber"
    )
    """The field of a sale that carries giftsync's mark. Which one is shown again is not documented;
    `giftsync doctor --probe` tells."""

    sale_carries_marker: Bool = False
    """Proved for this account: a sale is read back with the mark that it was made with. If false, giftsync
    writes nothing, since it could not find out what became of a sale whose answer was lost. `giftsync doctor
    --probe` proves it."""

    timestamp_moves: Bool = False
    """Proved for this account: a payment moves the time stamp of its card, so the list tells of changes. If
    false, each card is looked at in turn. `giftsync doctor --probe` proves it."""

    letters_in_codes: Bool = False
    """Proved for this account: a card number may hold letters. If false, only numbers of digits are made
    here."""

    polls_per_second: Annotated[float, Field(gt=0, le=100), form("a number, such as 0.3")] = 0.3
    """How many cards per second are looked at. One register's bucket drips once a second; 0.3 leaves most of
    it for payments."""

    @model_validator(mode="after")
    def _has_access(self) -> LightspeedRSection:
        check_access(self)
        return self

    @property
    def looks_per_second(self) -> float:
        return self.polls_per_second


def build(section: LightspeedRSection, context: BuildContext) -> LightspeedRSide:
    from connectors.lightspeed_r.model import Sign
    from connectors.lightspeed_r.sales import SaleSettings
    from connectors.lightspeed_r.side import SALE_CARRIES_MARKER, TIMESTAMP_MOVES, LightspeedRSide

    identity = f"lightspeed-r:{section.account}"
    proved = context.proved(identity)
    tokens = token_source(
        section, context, "Lightspeed", section.token_url, "", given_to=section.account, rotates=False
    )
    return LightspeedRSide(
        section.url or _ADDRESS.format(account=section.account),
        tokens,
        context,
        identity=identity,
        currency=section.currency,
        sign=Sign(section.balance_sign),
        sales=SaleSettings(
            section.employee_id,
            section.register_id,
            section.shop_id,
            section.debit_item_id,
            section.external_payment_type,
            section.gift_card_payment_type,
            section.marker_field,
        ),
        sale_carries_marker=section.sale_carries_marker or SALE_CARRIES_MARKER in proved,
        timestamp_moves=section.timestamp_moves or TIMESTAMP_MOVES in proved,
        letters_in_codes=section.letters_in_codes,
    )


CONNECTOR: Final = ConnectorType(
    name="lightspeed-r",
    title="Lightspeed R-Series",
    section=LightspeedRSection,
    build=build,
    webhook_keys=(),
    in_template=False,
)
