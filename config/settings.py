"""Every setting of giftsync. The docstring under a key is its documentation, everywhere.

`config init` writes the docstrings as comments and docs/reference/configuration.md is made from them. A key's
`form` says what is expected there, for both of these and for error messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mappings.addresses import is_private_channel

SECRET_FILE_BYTES_MAX = 8192
_HTTP_HERE = "plain http:// only on this machine"


def _form(text: str) -> Any:
    return Field(json_schema_extra={"form": text})


def _check_not_empty(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("empty", "is empty")
    return text


def _check_timezone(name: str) -> str:
    _check_not_empty(name)
    # The set is asked first: ZoneInfo would take other paths below the zone directory, too.
    if name not in available_timezones():
        raise ValueError("no such time zone")
    ZoneInfo(name)
    return name


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    _check_not_empty(text)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not a token")
    return secret


def _check_private(address: str) -> str:
    """Plain HTTP shows the token to everybody on the way."""
    if not is_private_channel(address):
        raise ValueError("not private")
    return address


def _check_secret_address(secret: SecretStr) -> SecretStr:
    _check_private(secret.get_secret_value())
    return secret


def _text_of(value: object) -> object:
    """TOML has no decimal type; a float would not hold every amount exactly."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _true_or_false(value: object) -> object:
    """Only the words themselves: pydantic would take "no", "off" and 0 for false, and "y" for true."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("neither true nor false")


Bool = Annotated[bool, BeforeValidator(_true_or_false), _form("true or false")]
Text = Annotated[str, AfterValidator(_check_not_empty)]
Uid = Annotated[str, AfterValidator(_check_not_empty), Field(pattern=r"^[A-Za-z0-9_-]+$")]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), _form('an ISO 4217 code such as "NOK"')]
Timezone = Annotated[str, AfterValidator(_check_timezone), _form('an IANA name such as "Europe/Oslo"')]
Money = Annotated[Decimal, BeforeValidator(_text_of), Field(ge=0, allow_inf_nan=False)]
SecretUrl = Annotated[Secret, AfterValidator(_check_secret_address)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+[^\s?#]*$"), AfterValidator(_check_private)]


#: Shopify delivers over HTTPS only; the sandbox delivers to this machine.
PublicUrl = Annotated[
    str, Field(pattern=r"^(https://[^\s/?#@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?)[^\s?#]*$")
]


class Section(BaseModel):
    """A table of the file. Unknown keys are refused; a secret may be given as a file instead."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        read = dict(data)
        for name in secret_names(cls):
            path = read.get(f"{name}_file")
            # A value comes from the environment when both are there, and the environment wins.
            if isinstance(path, str) and path and name not in read:
                read[name] = _read_secret(name, path)
        return read


def secret_names(section: type[BaseModel]) -> list[str]:
    """The keys of a section that may also be given as `<key>_file`."""
    fields = section.model_fields
    return [name for name in fields if f"{name}_file" in fields]


def _read_secret(name: str, path: str) -> str:
    try:
        with Path(path).open(encoding="ascii") as file:
            text = file.read(SECRET_FILE_BYTES_MAX).strip()
    except OSError as error:
        reason = error.strerror or "it is not readable"
    except ValueError:
        reason = "it is not plain text"
    else:
        if text:
            return text
        reason = "it is empty"
    raise PydanticCustomError("secret_file", "{key}", {"key": f"{name}_file", "path": path, "reason": reason})


def _check_there(section: BaseModel, names: Sequence[str], table: str = "") -> None:
    """Raise one error that names every key that is needed and not there."""
    missing = [f"{table}{name}" for name in names if getattr(section, name) is None]
    if missing:
        raise PydanticCustomError("needed", "{keys}", {"keys": " ".join(missing)})


class Brakes(Section):
    """How much may change within an hour before the link stops. `giftsync resume` lets it go on."""

    money_per_hour: Annotated[Money | None, _form("an amount of money, such as 100000")] = None
    """The most money to move on one side or the other, in whole currency units; created cards count with what
    is on them. Left out, there is no bound: bringing in the cards that exist moves all their money."""

    money_per_card: Annotated[Money | None, _form("an amount of money, such as 20000")] = Decimal(20_000)
    """The largest single amount to move to or from one card."""

    cards_per_hour: Annotated[int | None, Field(ge=0), _form("a whole number of cards")] = 10_000
    """The most cards to create or change."""


Direction = Literal["both", "to_shopify", "to_pos", "off"]


class Directions(Section):
    """Which way each field of a card goes. `to_shopify`: what the store's system says counts, and what was
    changed in Shopify is set back; `to_pos`: the other way round; `off`: each side keeps its own. Change them
    whenever you like: what was planned and is not allowed any more is taken back, at the next start."""

    balance: Direction = "both"
    """Money that moved on one side is always taken into the ledger, since it is gone there. Where it may not
    be written on the other side it becomes a conflict with the exact amount, because the same money could be
    spent twice."""

    status: Direction = "both"
    """Whether a card may be used: suspended, released, closed."""

    expiry: Direction = "both"
    """The last day on which a card may be used."""


class LinkSection(Section):
    """The merchant's decisions about the two sides."""

    timezone: Timezone
    """The shop's time zone. A card that expires on a date is valid to the end of that day there."""

    currency: Currency | None = None
    """The one currency of both sides. Left out, the sides decide; a side that trades in another currency than
    this, or than the other side, refuses the link. Amounts are never converted."""

    create_update_shopify_cards: Bool = True
    """Cards sold in a store are created in Shopify with the same serial, and their balance, status and expiry
    are kept up to date there. If false, nothing is ever written to Shopify."""

    download_shopify_cards: Bool = True
    """Cards bought online get a number for the store. If false, they can be spent online only."""

    send_notifications: Bool = False
    """Buyers of cards that are sold in a store from now on are told by Shopify that they can use them online.
    If Flow's order shows their e-mail address or phone number, they are found among the shop's customers, or
    made there with that and nothing else. Cards that exist already, and imports, tell nobody. If false, no
    customer data is sent anywhere. The app needs the scope write_customers."""

    shopify_serial_prefix: Annotated[
        str, Field(pattern=r"^([0-9]{4})?$"), _form('four digits, such as "9900", or ""')
    ] = "9900"
    """The first four digits of the store number that a card bought online is given, when the pool of
    pre-generated numbers is empty. Choose four digits that no printed card begins with. With `""` numbers
    come from the pool only; while it is empty, cards bought online wait, and a conflict says so."""

    lengthen_short_numbers: Bool = False
    """Shopify takes no code of fewer than 8 characters. If true, a shorter store number gets `giftsync`
    before it there: the customer of card 12345 types giftsync12345 online. If false, such a card opens a
    conflict."""

    template_suffixes: Annotated[
        dict[str, str], _form('a table such as { Gavekort = "gift", Tilgodelapp = "credit" }')
    ] = Field(default_factory=dict)
    """Flow's brands by the name that Flow shows, and the template suffix of their cards in Shopify. A card
    that is created on the other side is of the brand or suffix that is named here; if none is, of Shopify's
    default template or Flow's `default_brand`."""

    excluded_brands: Annotated[list[Text], _form('a list such as ["Tilgodelapp"]')] = Field(
        default_factory=list
    )
    """Brands of Flow whose cards are not kept in step: they are not created in Shopify and open no conflict.
    `giftsync status` counts those that it met. Cards that were in step before go on being kept so."""

    first_contact: Literal["ask", "flow", "shopify", "lower", "higher"] = "ask"
    """Which balance a card starts with, when it is found on both sides with two different ones. `ask` leaves
    the card alone and opens a conflict for a person to settle; `flow` and `shopify` believe that side."""

    suspension: Literal["reversible", "deactivate"] = "reversible"
    """What happens in Shopify to a card that is suspended in the store. `reversible`: it gets an expiry date
    in the past, which is taken away when the suspension is. `deactivate`: it is deactivated, which Shopify
    never takes back; a release in the store then opens a conflict."""

    deactivation: Literal["propagate", "conflict"] = "propagate"
    """What happens when a card is closed for good on one side: deactivated in Shopify, cleared in Flow.
    `propagate`: it is closed on the other side, too, and its money ends. `conflict`: it goes on elsewhere
    with its money, and a person is asked."""

    overdraft: Literal["ask", "write_off"] = "ask"
    """What is done about money that was spent on both sides before either could know. The exact shortfall is
    always written off and in the conflict log. `ask`: the conflict waits until somebody has acknowledged it;
    `write_off`: it is settled by this setting, and nobody has to act."""

    quiet_seconds: Annotated[float, Field(ge=0, le=3600), _form("seconds, from 0 to 3600")] = 60.0
    """How long after a lost answer a request that is not found on the side may still land. It is looked for
    at once and often; only when this is over is it sent again. Must be longer than a side can hold a request
    and still carry it out."""

    directions: Directions = Field(default_factory=Directions)
    brakes: Brakes = Field(default_factory=Brakes)

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.timezone)


class ShopifySection(Section):
    """The shop, and the app's access to it."""

    shop: Annotated[
        str,
        AfterValidator(_check_not_empty),
        Field(pattern=r"^[a-z0-9][a-z0-9-]*\.myshopify\.com$"),
        _form('the shop\'s permanent name, such as "example.myshopify.com"'),
    ]
    """The shop by its permanent name. Shopify Admin shows it under Settings, Domains."""

    auth: Literal["token", "client_credentials", "install"] = "token"
    """How the app is let in. `token`: by a permanent Admin API access token. `client_credentials`: by the id
    and secret of an app in Shopify's Dev Dashboard, for shops of the same organisation. `install`: by an
    installation with `giftsync shopify install`, for other merchants' shops."""

    token: Annotated[Secret | None, _form("the Admin API access token")] = None
    """For `auth = "token"`: the app's Admin API access token. It needs the scopes write_gift_cards,
    write_gift_card_transactions and read_orders."""

    token_file: Annotated[str | None, _form("a path")] = None
    """Instead of `token`: a file that holds the token and nothing else. A relative path is taken from the
    folder of this file."""

    client_id: Annotated[Text | None, _form("the app's client id")] = None
    """For the other two ways: the app's client id, as Shopify's Dev Dashboard shows it."""

    client_secret: Annotated[Secret | None, _form("the app's client secret")] = None
    """The app's client secret, which Shopify also calls API secret key. It gets access tokens, and proves
    that a webhook is Shopify's; without it no webhook is believed."""

    client_secret_file: Annotated[str | None, _form("a path")] = None
    """Instead of `client_secret`: a file that holds it and nothing else."""

    old_client_secret: Annotated[Secret | None, _form("the app's client secret before")] = None
    """While a new client secret is brought in: the one before, with which Shopify goes on signing webhooks
    for up to an hour."""

    old_client_secret_file: Annotated[str | None, _form("a path")] = None
    """Instead of `old_client_secret`: a file that holds it and nothing else."""

    url: Annotated[
        Url | None,
        _form(f'an address such as "https://example.myshopify.com"; {_HTTP_HERE}'),
    ] = None
    """Where the Admin API answers. Left out, https:// and the shop; only the sandbox needs another."""

    attaching_notifies: Bool | None = None
    """Needed with `send_notifications`: whether Shopify by itself tells a customer who is attached to a gift
    card. Its documentation does not say; try it with a card and a customer of your own. If true, giftsync
    attaches the customer and leaves the telling to Shopify; if false, it asks for one message."""

    version: Annotated[
        str, Field(pattern=r"^20[0-9]{2}-(01|04|07|10)$"), _form('an API version such as "2026-10"')
    ] = "2026-10"
    """The version of the Admin API to speak."""

    @model_validator(mode="after")
    def _check_auth(self) -> ShopifySection:
        """What is needed depends on `auth`, which pydantic cannot say of a key."""
        needed = ("token",) if self.auth == "token" else ("client_id", "client_secret")
        _check_there(self, needed)
        return self


class FlowSection(Section):
    """The Flow Retail tenant, and what has been proved about it."""

    tenant: Annotated[Uid, _form("the tenant's uid")]
    """The tenant's uid, as Flow Admin shows it."""

    store: Annotated[Uid, _form("the store's uid")]
    """The uid of the home store: cards are read, and movements are booked, through it."""

    token: Annotated[Secret, _form("the integration token")]
    """The token of an Integration user, made in Flow Admin."""

    token_file: Annotated[str | None, _form("a path")] = None
    """Instead of `token`: a file that holds the token and nothing else. A relative path is taken from the
    folder of this file."""

    webhook_token: Annotated[Secret | None, _form("the token or password that Flow sends")] = None
    """What Flow sends with its webhooks, as bearer token or password: whatever you gave Flow when you set
    up its HTTP transport. Without it no webhook of Flow's is believed."""

    url: Annotated[Url, _form(f'an address such as "https://api.flowretail.com/v2"; {_HTTP_HERE}')] = (
        "https://api.flowretail.com/v2"
    )
    """Where the Flow API answers, with its version."""

    extension_code: Literal["FLOWGIFTCARD", "STORE_CREDIT", "BRITANNIA", "PAYEX_GIFTCARD"] = "FLOWGIFTCARD"
    """Which of Flow's gift-card extensions has the cards. Only the first is documented to work as giftsync
    needs; ask Flow's support before you use another."""

    calls_per_second: Annotated[float | None, Field(gt=0, le=1000), _form("a number, such as 10")] = None
    """The most calls per second that Flow allows you; it publishes no limit, but its support may name one.
    Left out, giftsync calls as fast as Flow answers, and pauses for as long as it is told to."""

    polls_per_second: Annotated[float, Field(gt=0, le=1000), _form("a number, such as 5")] = 5.0
    """How many cards per second are looked at in Flow whether there is news of them or not, those first that
    change most. With `calls_per_second`, at most half of it: the rest is kept for payments and news. With C
    cards, a change that neither webhook nor receipt told is found within 10 * C / polls_per_second seconds,
    and as a rule far sooner."""

    debit_product_uid: Annotated[Uid | None, _form("a product uid")] = None
    """The zero-VAT product on which value spent online is booked."""

    gift_card_product_uids: Annotated[dict[str, Uid], _form('a table such as { Gavekort = "901" }')] = Field(
        default_factory=dict
    )
    """The GIFTCARD product that sells each brand of cards, by the brand's name as Flow shows it."""

    default_brand: Annotated[Text | None, _form("a brand of gift_card_product_uids")] = None
    """The brand of cards that giftsync creates, when there are several."""

    item_number_field: Annotated[Text | None, _form("the name of a key")] = None
    """The key of an order item that carries a gift-card number. Flow's support knows it."""

    gift_card_settlement_code: Annotated[Text | None, _form("a settlement code")] = None
    """The settlement code of Flow's gift-card payment method. Left out, it is looked for."""

    number_parameter: Annotated[Text | None, _form("the key of a parameter")] = None
    """The parameter of that payment method that takes the card's number. Left out, it is told by its name."""

    cvc_parameter: Annotated[Text | None, _form("the key of a parameter")] = None
    """The parameter that takes the CVC. Left out, it is told by its name."""

    external_settlement_code: Annotated[Text, _form("a settlement code")] = "EXTERNAL_SHOPIFY"
    """The settlement code of the external payment method that pays for cards sold online."""

    gift_card_payment_method_uid: Annotated[Text | None, _form("a payment method uid")] = None
    """The gift-card payment method's uid in the home store. Left out, an earlier order tells."""

    external_payment_method_uid: Annotated[Text | None, _form("a payment method uid")] = None
    """The external payment method's uid in the home store. Left out, an earlier order tells."""

    api_settlement_debits: Bool = False
    """Proved for this tenant: paying an API order with a gift card takes the money from the card."""

    api_issue_allowed: Bool = False
    """Proved for this tenant: a settled API order issues or loads the card that its item names."""

    caller_may_choose_number: Bool = False
    """Proved for this tenant: the number put on the item is the number of the card that is issued."""

    refund_settlement_credits: Bool = False
    """Proved for this tenant: paying a return out to a gift card puts money on the card."""

    empty_answer_means_absent: Bool = False
    """Proved for this tenant: an empty answer says that there is no such card."""

    refund_amounts_negative: Bool = False
    """Whether the amount that settles a return must be negative in this tenant."""

    return_order_type: Annotated[Text, _form("an order type of Flow")] = "RETURN"
    """The type of an order that is a return."""

    status_by_active_flag: Bool = False
    """For an older Flow, whose cards have `active` instead of a status. Cards can then not be closed."""

    suspended_status: Annotated[Text | None, _form("a status of Flow")] = None
    """The card status that suspends a card and can be taken back. Left out, suspensions are not written."""


class NoticesSection(Section):
    """Where a digest of new conflicts is sent. Nothing is sent unless a webhook or a mail address is set."""

    webhook_url: Annotated[SecretUrl | None, _form(f"an address that starts with https://; {_HTTP_HERE}")] = (
        None
    )
    """An address that takes JSON by POST; chat services call it an incoming webhook. It often holds a key, so
    it is treated as a secret."""

    webhook_url_file: Annotated[str | None, _form("a path")] = None
    """Instead of `webhook_url`: a file that holds it and nothing else."""

    mail_to: Annotated[Text | None, _form("a mail address")] = None
    """Who gets the digest by mail."""

    mail_from: Annotated[Text | None, _form("a mail address")] = None
    """The sender of these mails; left out, the same address."""

    smtp_host: Annotated[Text, _form("the name of a mail server")] = "localhost"
    """The mail server that takes them. Any but one on this machine is spoken to with encryption only."""

    smtp_port: Annotated[int, Field(ge=1, le=65_535), _form("a port")] = 587
    """Its port."""

    smtp_user: Annotated[Text | None, _form("a user name")] = None
    """The user at the mail server, if it asks for one."""

    smtp_password: Annotated[Secret | None, _form("a password")] = None
    """The password of that user."""

    smtp_password_file: Annotated[str | None, _form("a path")] = None
    """Instead of `smtp_password`: a file that holds it and nothing else."""

    interval_minutes: Annotated[float, Field(ge=1, le=10_080), _form("minutes, from 1 to 10080")] = 15
    """The least time between two digests. What happens in between is told in the next one."""


class WorkerSection(Section):
    """How the background worker works. The defaults suit most shops."""

    threads: Annotated[int, Field(ge=1, le=64), _form("a whole number from 1 to 64")] = 16
    """How many cards are worked on at the same time. A thread mostly waits for answers: divided by the
    seconds that a card takes, this is how many payments a second reach the other side."""

    poll_seconds: Annotated[float | None, Field(gt=0, le=86_400), _form("seconds, up to 86400")] = None
    """How often to look for news on both sides. Left out, each source of news has its own pace."""

    sweep_seconds: Annotated[float, Field(ge=1, le=86_400), _form("seconds, from 1 to 86400")] = 10.0
    """How often the next few cards of Shopify are read again, whether there is news of them or not. Flow has
    its own pace: `polls_per_second`."""

    sweep_cards: Annotated[int, Field(ge=1, le=100_000), _form("a whole number of cards")] = 200
    """How many cards that is. Together they decide how long a change that no news tells of stays unseen."""

    lease_seconds: Annotated[float, Field(ge=30, le=3600), _form("seconds, from 30 to 3600")] = 120.0
    """How long a worker may hold a card. A card whose worker died is free again after this time."""


class ConsoleSection(Section):
    """What `giftsync run` serves over HTTP: the receiver of webhooks."""

    host: Annotated[Text, _form("an address of this machine")] = "127.0.0.1"
    """Where to listen. The sides reach it through your HTTPS proxy; paths are /webhooks/shopify and
    /webhooks/flow."""

    port: Annotated[int | None, Field(ge=0, le=65_535), _form("a port number")] = None
    """The port; 0 takes any free one. Left out, no webhooks are received and feeds alone bring news."""

    public_url: Annotated[PublicUrl | None, _form('an address such as "https://giftsync.example.com"')] = None
    """Where the sides reach it from outside. With it `giftsync run` subscribes to Shopify's webhooks by
    itself, and mends the subscriptions; left out, it ends those that it made."""


class Settings(BaseSettings):
    """All of it. Made by `config.load.load`, which turns every mistake into a ConfigError."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        env_prefix="GIFTSYNC_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    database: Annotated[Text, _form('an address such as "sqlite:///giftsync.db"')] = "sqlite:///giftsync.db"
    """The ledger: a SQLite file, or postgresql+psycopg://user:password@host/name. A relative path
    is taken from the folder of this file."""

    key_file: Annotated[Text | None, _form("a path")] = None
    """The key that seals serials in the ledger. Made on first use, readable by its owner only; left out,
    it is next to the database. Without its key a ledger cannot be read: keep a copy of it somewhere safe."""

    key: Annotated[Secret | None, _form("the one line that a key file holds")] = None
    """Instead of a key file, and only in the environment: the key itself."""

    link: LinkSection
    shopify: ShopifySection
    flow: FlowSection
    notices: NoticesSection = Field(default_factory=NoticesSection)
    worker: WorkerSection = Field(default_factory=WorkerSection)
    console: ConsoleSection = Field(default_factory=ConsoleSection)

    @model_validator(mode="after")
    def _check_notifications(self) -> Settings:
        """One setting needs another, which pydantic cannot say of a key."""
        if self.link.send_notifications:
            _check_there(self.shopify, ("attaching_notifies",), "shopify.")
        return self

    def secrets(self) -> list[str]:
        """Everything that must never be shown."""
        shopify = self.shopify
        given = [shopify.token, shopify.client_secret, shopify.old_client_secret, self.flow.token, self.key]
        given += [self.flow.webhook_token]
        given += [self.notices.webhook_url, self.notices.smtp_password]
        return [one.get_secret_value() for one in given if one is not None]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what was read from the file."""
        return env_settings, init_settings
