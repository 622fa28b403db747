"""The connector type `lightspeed-x`: its table in the configuration, and how a side is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, model_validator

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType
from connectors.api.settings import HTTP_HERE, Bool, Currency, Secret, SideSection, Text, Uid, Url, form
from connectors.kit.oauth import check_access, token_source

if TYPE_CHECKING:
    from connectors.lightspeed_x.side import LightspeedXSide

_ADDRESS: Final = "https://{prefix}.retail.lightspeed.app"


class LightspeedXSection(SideSection):
    """A retailer of Lightspeed Retail X-Series."""

    prefix: Annotated[Uid, form("the domain prefix")]
    """The first part of the retailer's address: `shop` of `shop.retail.lightspeed.app`."""

    currency: Currency
    """The currency of the retailer's cards, as its settings show it; the API does not tell it."""

    url: Annotated[Url | None, form(f"an address; {HTTP_HERE}")] = None
    """Where the retailer's API answers. Left out, it is made from `prefix`."""

    token: Annotated[Secret | None, form("a personal token")] = None
    """A personal token, made in X-Series. Instead of it, the three keys of an app can be given."""

    token_file: Annotated[str | None, form("a path")] = None
    """Instead of `token`: a file that holds it and nothing else."""

    client_id: Annotated[Text | None, form("the app's client id")] = None
    """Of an app with OAuth, with `client_secret` and `refresh_token`."""

    client_secret: Annotated[Secret | None, form("the app's client secret")] = None
    """The app's client secret."""

    client_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `client_secret`: a file that holds it and nothing else."""

    refresh_token: Annotated[Secret | None, form("the first refresh token")] = None
    """The refresh token that the retailer's consent gave. Each works once; the next ones are kept, sealed, in
    the ledger."""

    refresh_token_file: Annotated[str | None, form("a path")] = None
    """Instead of `refresh_token`: a file that holds it and nothing else."""

    token_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9./_-]+$"), form("a path")] = "/api/1.0/token"
    """Where access tokens are renewed."""

    letters_in_numbers: Bool = False
    """Proved for this retailer: a card number may hold letters. If false, only numbers of digits are made
    here."""

    client_id_applies_once: Bool = False
    """Proved for this retailer: a request that comes again under the same client id moves no money again. If
    false, giftsync waits and reads back before it repeats one. `giftsync doctor --probe` proves it."""

    polls_per_second: Annotated[float, Field(gt=0, le=100), form("a number, such as 0.5")] = 0.5
    """How many cards per second are looked at. A retailer with one register may make 350 requests in five
    minutes; 0.5 leaves more than half of them for payments."""

    @model_validator(mode="after")
    def _has_access(self) -> LightspeedXSection:
        check_access(self)
        return self

    @property
    def looks_per_second(self) -> float:
        return self.polls_per_second


def build(section: LightspeedXSection, context: BuildContext) -> LightspeedXSide:
    from connectors.lightspeed_x.side import CLIENT_ID_APPLIES_ONCE, LightspeedXSide

    identity = f"lightspeed-x:{section.prefix}"
    url = section.url or _ADDRESS.format(prefix=section.prefix)
    tokens = token_source(
        section, context, "Lightspeed", url, section.token_path, given_to=section.prefix, rotates=True
    )
    proved = CLIENT_ID_APPLIES_ONCE in context.proved(identity)
    return LightspeedXSide(
        url,
        tokens,
        context,
        identity=identity,
        currency=section.currency,
        client_id_applies_once=section.client_id_applies_once or proved,
        letters_in_numbers=section.letters_in_numbers,
    )


CONNECTOR: Final = ConnectorType(
    name="lightspeed-x",
    title="Lightspeed X-Series",
    section=LightspeedXSection,
    build=build,
    webhook_keys=(),
    in_template=False,
)
