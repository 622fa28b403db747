"""The connector type `giftlocal`: its table in the configuration, and how a side is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType
from connectors.api.settings import HTTP_HERE, Bool, Currency, Secret, SideSection, Text, Uid, Url, form

if TYPE_CHECKING:
    from connectors.giftlocal.side import GiftLocalSide

#: Of the brands, as the side calls them: gifts that are no money, and gifts that a merchant gave away.
LEFT_OUT: Final = ("item", "promotional")


class GiftLocalSection(SideSection):
    """A merchant's account at Gift Local, at one location."""

    url: Annotated[Url, form(f"an address; {HTTP_HERE}")]
    """Where Gift Local answers. Its production address is not published: Gift Local tells it with the key."""

    key: Annotated[Secret | None, form("the API key")] = None
    """The API key of an account integrator, which Gift Local has attached to the location."""

    key_file: Annotated[str | None, form("a path")] = None
    """Instead of `key`: a file that holds it and nothing else."""

    account: Annotated[Uid, form("the account's id")]
    """The account's id at Gift Local, which new gifts name. The side is known by it."""

    currency: Currency
    """The currency of the account's gifts; the API does not tell it."""

    organization: Annotated[Uid | None, form("the location's id")] = None
    """The location's id (`organizationID`). Left out, the key has a single location."""

    pos_location: Annotated[Text | None, form("the location as your point of sale calls it")] = None
    """Instead of `organization`: the point of sale's own id of the location."""

    promotional_field: Annotated[Text | None, form("the name of a field")] = None
    """The field of a validated gift that is true for a promotional gift. `giftsync doctor --card CODE --json`
    lists the fields. Promotional gifts are left out: they are not money that was paid in."""

    no_promotional_gifts: Bool = False
    """Say true instead of `promotional_field` if the account has no promotional gifts at all."""

    spent_reasons: Annotated[list[Text], form('a list such as ["Fully redeemed"]')] = Field(
        default_factory=list
    )
    """What Gift Local says of a gift on which nothing is left. A gift that cannot be redeemed for any other
    reason is not believed to be empty: it opens a conflict. `giftsync doctor --card CODE` shows the words
    for a gift that you have spent."""

    excluded_brands: Annotated[list[Text], form('a list such as ["item", "promotional"]')] = Field(
        default_factory=lambda: list(LEFT_OUT)
    )
    """Kinds of gifts that are not kept in step: `item` is a gift of things, `promotional` one that was given
    away. `giftsync status` counts those that it met."""

    code_as_text: Bool = False
    """Proved for this account: a code is taken as a text, so that it keeps its leading zeros. If false, codes
    that begin with 0 cannot be read. `giftsync doctor --probe` proves it."""

    settle_lost_redemptions: Bool = True
    """A redemption whose answer was lost counts as carried out if the gift then holds exactly that much less
    than just before. A customer who spends the very same amount within these seconds cannot be told from it.
    If false, a person is asked each time."""

    program: Annotated[Text | None, form("the program's id")] = None
    """The program that new gifts belong to (`programID`); with `storefront`. Left out, no gifts are made."""

    storefront: Annotated[Text | None, form("the storefront's id")] = None
    """The external storefront that new gifts are sold by (`externalStorefrontID`)."""

    mints_without_mailing: Bool = False
    """Proved for this account: a gift that the sender hands over is made at once, its code is told, and
    nobody is mailed. If false, no gifts are made. `giftsync doctor --probe` proves it."""

    mints_once: Bool = False
    """Proved for this account: one external transaction makes one gift, however often it is sent. `giftsync
    doctor --probe` proves it."""

    mint_again: Bool = False
    """A gift whose answer was lost is made again. Nobody has the code of the lost one, so nobody can spend
    it; it stays in Gift Local's books until its support ends it. If false, a person is asked."""

    reverse_path: Annotated[str | None, Field(pattern=r"^/[A-Za-z0-9./_-]+$"), form("a path")] = None
    """Where a redemption is reversed; Gift Local tells it. The probe uses it to put its test gift back."""

    redemption_field: Annotated[Text, form("the name of a field")] = "redemptionTransactionID"
    """What Gift Local calls the identifier of a redemption."""

    polls_per_second: Annotated[float, Field(gt=0, le=100), form("a number, such as 1")] = 1.0
    """How many gifts per second are looked at. Gift Local publishes no limit."""

    @model_validator(mode="after")
    def _is_whole(self) -> GiftLocalSection:
        missing = [] if self.key is not None else ["key"]
        if self.promotional_field is None and not self.no_promotional_gifts:
            missing.append("promotional_field")
        if (self.program is None) != (self.storefront is None):
            missing.append("storefront" if self.storefront is None else "program")
        if missing:
            raise PydanticCustomError("needed", "{keys}", {"keys": " ".join(missing)})
        if self.organization is not None and self.pos_location is not None:
            raise ValueError("name the location once: organization or pos_location")
        return self

    @property
    def looks_per_second(self) -> float:
        return self.polls_per_second


def build(section: GiftLocalSection, context: BuildContext) -> GiftLocalSide:
    from connectors.giftlocal.client import AccountClient, Location, Minting, Reversal
    from connectors.giftlocal.doctor import CODE_AS_TEXT, MINTS, MINTS_ONCE
    from connectors.giftlocal.model import Reading
    from connectors.giftlocal.side import GiftLocalSide, Habits

    place = section.organization or section.pos_location
    identity = f"giftlocal:{section.account}" + (f":{place}" if place else "")
    proved = frozenset(context.proved(identity))
    minting = None
    if section.program is not None and section.storefront is not None:
        minting = Minting(section.program, section.account, section.storefront)
    client = AccountClient(
        section.url,
        section.key.get_secret_value() if section.key is not None else "",
        Location(section.organization, section.pos_location),
        context.clock,
        context.pause,
        code_as_text=section.code_as_text or CODE_AS_TEXT in proved,
    )
    return GiftLocalSide(
        client,
        context,
        identity=identity,
        keeps_cards_in=f"Gift Local's account {section.account}",
        reading=Reading(section.currency, section.promotional_field, frozenset(section.spent_reasons)),
        habits=Habits(
            minting=minting,
            mints=section.mints_without_mailing or MINTS in proved,
            mints_once=section.mints_once or MINTS_ONCE in proved,
            mints_again=section.mint_again,
            believes_balance=section.settle_lost_redemptions,
            reversal=Reversal(section.reverse_path, section.redemption_field)
            if section.reverse_path is not None
            else None,
        ),
    )


CONNECTOR: Final = ConnectorType(
    name="giftlocal",
    title="Gift Local",
    section=GiftLocalSection,
    build=build,
    webhook_keys=(),
    in_template=False,
)
