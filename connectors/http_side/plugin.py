"""The connector type `http`: its table in the configuration, and how a side is made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from connectors.api.build import BuildContext
from connectors.api.plugin import ConnectorType
from connectors.api.settings import HTTP_HERE, Bool, Secret, SideSection, Text, Url, form

if TYPE_CHECKING:
    import typer

    from connectors.api.commands import CommandHost
    from connectors.http_side.side import HttpSide

Feature = Literal["create", "credit", "debit", "suspend", "close", "expiry"]
_ALL: Final[tuple[Feature, ...]] = ("create", "credit", "debit", "suspend", "close", "expiry")


class HttpSection(SideSection):
    """A shop, till or other system whose own developers implement giftsync's HTTP contract."""

    url: Annotated[Url, form(f'an address such as "https://shop.example/giftsync"; {HTTP_HERE}')]
    """Where the shop answers by the contract: `/shop`, `/cards` and `/changes` are below it."""

    key: Annotated[Secret, form("the key that the shop gives to giftsync")]
    """The key that the shop gave to giftsync; sent as a bearer token."""

    key_file: Annotated[str | None, form("a path")] = None
    """Instead of `key`: a file that holds it and nothing else."""

    title: Annotated[Text, form('a name, such as "Webshop"')] = "The shop"
    """What people call the system, in messages."""

    webhook_secret: Annotated[Secret | None, form("`whsec_` and base64")] = None
    """Signs the shop's webhooks: `whsec_` and the base64 of 24 random bytes, the same as in the shop. Left
    out, no webhooks are taken, and changes are seen when they are read next."""

    webhook_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `webhook_secret`: a file that holds it and nothing else."""

    features: Annotated[list[Feature], form(f"a list of {', '.join(_ALL)}")] = Field(
        default_factory=lambda: list(_ALL)
    )
    """What giftsync may do in the shop, beside reading. The shop says in `/shop` what it has; `giftsync
    doctor` compares."""

    number_length_min: Annotated[int, Field(ge=1, le=64), form("a number from 1 to 64")] = 8
    """The shortest number that a card can have in the shop."""

    number_length_max: Annotated[int, Field(ge=1, le=64), form("a number from 1 to 64")] = 20
    """The longest number that a card can have in the shop."""

    number_digits_only: Bool = False
    """Whether the shop takes numbers of digits only."""

    key_applies_once: Bool = False
    """Proved for this shop: a request that comes again under the same Idempotency-Key moves no money again.
    If false, giftsync waits and reads back before it repeats one. `giftsync doctor --probe` proves it."""

    changes_seconds: Annotated[float, Field(ge=1, le=3600), form("a number of seconds")] = 5.0
    """How often the shop's changes are read. With webhooks once a minute is enough."""

    polls_per_second: Annotated[float, Field(gt=0, le=100), form("a number, such as 5")] = 5.0
    """How many cards per second are looked at beside the changes, to find what they did not tell."""

    @property
    def looks_per_second(self) -> float:
        return self.polls_per_second


def build(section: HttpSection, context: BuildContext) -> HttpSide:
    from connectors.http_side.client import ShopClient
    from connectors.http_side.side import KEY_APPLIES_ONCE, HttpSide, capabilities_of
    from connectors.http_side.webhooks import key_of

    if section.number_length_min > section.number_length_max:
        raise ValueError("number_length_min is more than number_length_max")
    webhook_key = None
    if section.webhook_secret is not None:
        try:
            webhook_key = key_of(section.webhook_secret.get_secret_value())
        except ValueError as error:
            raise ValueError(f"webhook_secret: {error}") from None
    # Who the shop is, is known once it is asked; what was proved is kept by where it is.
    known_as = f"http:{section.url.rstrip('/')}"
    proved = KEY_APPLIES_ONCE in context.proved(known_as)
    return HttpSide(
        ShopClient(section.url, section.key.get_secret_value(), context.clock, context.pause),
        context,
        capabilities_of(
            section.features,
            length_min=section.number_length_min,
            length_max=section.number_length_max,
            digits_only=section.number_digits_only,
            key_applies_once=section.key_applies_once or proved,
        ),
        known_as=known_as,
        title=section.title,
        changes_seconds=section.changes_seconds,
        features=frozenset(section.features),
        webhook_key=webhook_key,
    )


def _commands(host: CommandHost) -> typer.Typer:
    from connectors.http_side.commands import make_commands

    return make_commands(host)


CONNECTOR: Final = ConnectorType(
    name="http",
    title="A shop with the HTTP contract",
    section=HttpSection,
    build=build,
    webhook_keys=("webhook_secret",),
    commands=_commands,
    commands_name="contract",
    in_template=False,
)
