"""Every setting of giftsync but those of the sides, which connectors own. The docstring under a key is its
documentation, everywhere.

`config init` writes the docstrings as comments and docs/reference/configuration.md is made from them. A key's
`form` says what is expected there, for both of these and for error messages.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from connectors.api.settings import (
    HTTP_HERE,
    Bool,
    Currency,
    Money,
    PublicUrl,
    Secret,
    SecretUrl,
    Section,
    SideSection,
    Text,
    Timezone,
    Url,
    form,
    secrets_in,
)


class Brakes(Section):
    """How much may change within an hour before the link stops. `giftsync resume` lets it go on."""

    money_per_hour: Annotated[Money | None, form("an amount of money, such as 100000")] = None
    """The most money to move on any side, in whole currency units; created cards count with what
    is on them. Left out, there is no bound: bringing in the cards that exist moves all their money."""

    money_per_card: Annotated[Money | None, form("an amount of money, such as 20000")] = Decimal(20_000)
    """The largest single amount to move to or from one card."""

    cards_per_hour: Annotated[int | None, Field(ge=0), form("a whole number of cards")] = 10_000
    """The most cards to create or change."""


class LinkSection(Section):
    """The merchant's decisions about all sides together."""

    timezone: Timezone
    """The shop's time zone. A card that expires on a date is valid to the end of that day there."""

    currency: Currency | None = None
    """The one currency of all sides. Left out, the sides decide; a side that trades in another currency than
    this, or than another side, refuses the link. Amounts are never converted."""

    first_contact: Annotated[Text, form('"ask", "lower", "higher" or the name of a side')] = "ask"
    """Which balance a card starts with, when it is found on several sides with different ones. `ask` leaves
    the card alone and opens a conflict for a person to settle; the name of a side believes that side."""

    deactivation: Literal["propagate", "conflict"] = "propagate"
    """What happens when a card is closed for good on one side.
    `propagate`: it is closed on the others, too, and its money ends. `conflict`: it goes on elsewhere
    with its money, and a person is asked."""

    overdraft: Literal["ask", "write_off"] = "ask"
    """What is done about money that was spent on two sides before either could know. The exact shortfall is
    always written off and in the conflict log. `ask`: the conflict waits until somebody has acknowledged it;
    `write_off`: it is settled by this setting, and nobody has to act."""

    quiet_seconds: Annotated[float, Field(ge=0, le=3600), form("seconds, from 0 to 3600")] = 60.0
    """How long after a lost answer a request that is not found on the side may still land. It is looked for
    at once and often; only when this is over is it sent again. Must be longer than a side can hold a request
    and still carry it out."""

    brakes: Brakes = Field(default_factory=Brakes)

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone."""
        return ZoneInfo(self.timezone)


class NoticesSection(Section):
    """Where a digest of new conflicts, and of sign-ins to the console on new browsers, is sent.

    Nothing is sent unless a webhook or a mail address is set.
    """

    webhook_url: Annotated[SecretUrl | None, form(f"an address that starts with https://; {HTTP_HERE}")] = (
        None
    )
    """An address that takes JSON by POST; chat services call it an incoming webhook. It often holds a key, so
    it is treated as a secret."""

    webhook_url_file: Annotated[str | None, form("a path")] = None
    """Instead of `webhook_url`: a file that holds it and nothing else."""

    mail_to: Annotated[Text | None, form("a mail address")] = None
    """Who gets the digest by mail."""

    mail_from: Annotated[Text | None, form("a mail address")] = None
    """The sender of these mails; left out, the same address."""

    smtp_host: Annotated[Text, form("the name of a mail server")] = "localhost"
    """The mail server that takes them. Any but one on this machine is spoken to with encryption only."""

    smtp_port: Annotated[int, Field(ge=1, le=65_535), form("a port")] = 587
    """Its port."""

    smtp_user: Annotated[Text | None, form("a user name")] = None
    """The user at the mail server, if it asks for one."""

    smtp_password: Annotated[Secret | None, form("a password")] = None
    """The password of that user."""

    smtp_password_file: Annotated[str | None, form("a path")] = None
    """Instead of `smtp_password`: a file that holds it and nothing else."""

    interval_minutes: Annotated[float, Field(ge=1, le=10_080), form("minutes, from 1 to 10080")] = 15
    """The least time between two digests. What happens in between is told in the next one."""


class WorkerSection(Section):
    """How the background worker works. The defaults suit most shops."""

    threads: Annotated[int, Field(ge=1, le=64), form("a whole number from 1 to 64")] = 16
    """How many cards are worked on at the same time. A thread mostly waits for answers: divided by the
    seconds that a card takes, this is how many payments a second reach the other side."""

    poll_seconds: Annotated[float | None, Field(gt=0, le=86_400), form("seconds, up to 86400")] = None
    """How often to look for news on all sides. Left out, each source of news has its own pace."""

    sweep_seconds: Annotated[float, Field(ge=1, le=86_400), form("seconds, from 1 to 86400")] = 10.0
    """How often the next few cards of a side are read again, whether there is news of them or not. A side
    that is read one card at a time has a pace of its own."""

    sweep_cards: Annotated[int, Field(ge=1, le=100_000), form("a whole number of cards")] = 200
    """How many cards that is. Together they decide how long a change that no news tells of stays unseen."""

    lease_seconds: Annotated[float, Field(ge=30, le=3600), form("seconds, from 30 to 3600")] = 120.0
    """How long a worker may hold a card. A card whose worker died is free again after this time."""


class OidcSection(Section):
    """Sign-in to the console by an OpenID Connect provider, beside passwords and passkeys. Without an
    `issuer` there is none."""

    issuer: Annotated[Url | None, form(f"an address that starts with https://; {HTTP_HERE}")] = None
    """The provider, exactly as it calls itself in its configuration. Register giftsync there as a web
    application with the redirect address `https://…/sign-in/oidc/back`."""

    client_id: Annotated[Text | None, form("a client id")] = None
    """What the provider calls giftsync."""

    client_secret: Annotated[Secret | None, form("a secret")] = None
    """giftsync's secret at the provider; left out for a public client. PKCE binds attempts either way."""

    client_secret_file: Annotated[str | None, form("a path")] = None
    """Instead of `client_secret`: a file that holds it and nothing else."""

    label: Annotated[Text, form("a name")] = "OIDC"
    """What the button says after "Sign in with"."""

    scopes: Annotated[str, Field(pattern=r"^openid( [!-~]+)*$"), form('words that begin with "openid"')] = (
        "openid email profile"
    )
    """What is asked of the provider; some tell groups only with a scope of their own."""

    claim: Annotated[Text, form("the name of a claim")] = "email"
    """The claim that says who somebody is. `email` counts only with `email_verified`; for a provider that
    does not tell that, take another one, such as `preferred_username` or `sub`."""

    people: Annotated[dict[str, str], form('a table such as { "kari@example.com" = "Kari" }')] = Field(
        default_factory=dict
    )
    """Who comes in as a person that the console knows: the claim, and the person's name. Their role is the
    console's."""

    role_claim: Annotated[Text, form("the name of a claim")] = "groups"
    """The claim with somebody's groups."""

    roles: Annotated[
        dict[str, Literal["merchant", "support", "read_only"]], form('a table such as { "till" = "support" }')
    ] = Field(default_factory=dict)
    """Which groups come in with which role. A person of theirs is made at the first sign-in, is called by the
    claim above, and has the highest role of their groups at each one. Nobody else comes in."""

    @model_validator(mode="after")
    def _check_client(self) -> OidcSection:
        if self.issuer is not None and self.client_id is None:
            raise PydanticCustomError("needed", "{keys}", {"keys": "client_id"})
        return self


class ConsoleSection(Section):
    """What `giftsync run` serves over HTTP: the pages for people, and the receiver of webhooks."""

    host: Annotated[Text, form("an address of this machine")] = "127.0.0.1"
    """Where to listen. The sides reach it through your HTTPS proxy; the path is /webhooks/ and the
    name of the side."""

    port: Annotated[int | None, Field(ge=0, le=65_535), form("a port number")] = None
    """The port; 0 takes any free one. Left out, no webhooks are received and feeds alone bring news, and the
    pages are at port 8600 of this machine, or at any free one if another program has that."""

    public_url: Annotated[PublicUrl | None, form('an address such as "https://giftsync.example.com"')] = None
    """Where the sides reach it from outside. With it `giftsync run` subscribes to the webhooks of sides that
    allow it, and mends the subscriptions; left out, it ends those that it made."""

    pages: Bool = True
    """Whether there are pages for people. If false, only webhooks are received, and nothing is served at all
    without a `port`."""

    language: Annotated[Literal["en", "nb"], form('"en" or "nb"')] = "en"
    """The language of the pages for whoever has chosen none: English or Norwegian. Statements as PDF and
    Excel, reports of imports, printed cards and mails are written in it as well; the terminal and what
    programs read (CSV, JSON) stay English."""

    oidc: OidcSection = Field(default_factory=OidcSection)


class Sides(Section):
    """The sides of a link, each a table of its own. `config.sides` derives the class that a file needs."""

    def by_name(self) -> dict[str, SideSection]:
        """In the order of the file."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class ApiSection(Section):
    """The API under /api/v1, for tills, kiosks and web shops that ask giftsync before they take a payment.
    `giftsync tokens add` lets a caller in. It is served at the console's port."""

    enabled: Bool = False
    """Whether there is an API."""

    mode: Literal["authorise", "record"] = "authorise"
    """When a redemption is answered. `authorise`: when every side has taken the amount off the card, so that
    it cannot be spent twice. `record`: at once, from the ledger; the sides follow, and what was spent there
    meanwhile is an overdraft conflict."""

    unconfirmed: Literal["refuse", "record"] = "refuse"
    """What becomes of a redemption that a side cannot confirm, since it is down or may not be debited:
    `refuse` it, or `record` it, say so in the answer, and debit the side when it is back."""

    look_before_record: Bool = False
    """Whether the sides are looked at before a redemption is recorded, too: fewer overdrafts, slower."""

    pending_seconds: Annotated[float, Field(ge=10, le=3600), form("seconds, from 10 to 3600")] = 120.0
    """When a redemption has become certain at the latest: a pending one is refused then, or recorded as
    `unconfirmed` says."""

    answer_seconds: Annotated[float, Field(ge=0, le=60), form("seconds, up to 60")] = 5.0
    """How long a caller is kept waiting for a side whose answer was lost, before it is told `pending`."""


class HandoverSection(Section):
    """What customers hold of a card, and where they see what is left on it."""

    balance_page: Bool = False
    """Whether there is a page at /balance where a customer sees a card's balance by its number and CVC. It is
    served at the console's port, whether there is an API or not."""

    balance_without_cvc: Bool = False
    """Whether that page shows cards, too, of which giftsync knows no CVC. Their numbers could be guessed
    there, if slowly; left out, it takes them for unknown."""

    title: Annotated[Text, form("a few words")] = "Gift card"
    """What stands on a printed card of no brand."""

    mail_templates: Annotated[str | None, form("a path")] = None
    """A folder of templates for mails with a card: `<brand>.txt`, and `default.txt` for any other. The first
    line is the subject. Left out, or without these files, giftsync has words of its own."""


Account = Annotated[
    str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.-]{0,19}$"), form("an account, up to 20 letters and digits")
]
VatKind = Literal["multi_purpose", "single_purpose"]
ExpiredCards = Literal["end_debt", "stay_owed"]
Bearer = Literal["head_office", "issuing", "redeeming"]


class AccountsSection(Section):
    """Accounts of the journal lines, as your chart of accounts or SAF-T calls them. The defaults follow the
    Norwegian standard chart; ask whoever keeps your books."""

    liability: Account = "2900"
    """What is owed to the holders of gift cards."""

    taken_over: Account = "2999"
    """Against it stands what was on cards before giftsync began; your books have it already."""

    issued: Account = "1579"
    """Clearing of cards that are sold and loaded; the sale itself is booked by till and shop."""

    refunded: Account = "1579"
    """Clearing of refunds that are paid to cards."""

    redeemed: Account = "1579"
    """Clearing of purchases that are paid with cards."""

    breakage: Account = "3900"
    """Income from cards that expire or are closed with money on them."""

    write_off: Account = "7830"
    """Loss on money that was spent twice."""

    adjusted: Account = "7798"
    """Corrections that a person or a setting decided."""


class BooksSection(Section):
    """What `giftsync liability`, `settlement` and `close` need to know. Amounts never depend on it."""

    vat: Annotated[VatKind, form("one of multi_purpose, single_purpose")] = "multi_purpose"
    """The VAT kind of the cards, which statements show: VAT is due when a multi-purpose voucher is redeemed,
    and when a single-purpose voucher is issued."""

    write_offs_borne_by: Annotated[Bearer, form("one of head_office, issuing, redeeming")] = "head_office"
    """Who pays the store that gave goods for money that was spent twice: the head office, the store that put
    the last value on the card, or nobody, so that the redeeming store bears it."""

    discounts_borne_by: Annotated[Bearer, form("one of head_office, issuing, redeeming")] = "issuing"
    """Who bears what a card holds beyond what was paid for it."""

    breakage_months: Annotated[int, Field(ge=1, le=600), form("a whole number of months")] = 24
    """Cards that were issued longer ago teach the estimate how much is never used."""

    expired_cards: Annotated[ExpiredCards, form("one of end_debt, stay_owed")] = "end_debt"
    """What is left on a card whose last day has passed. `end_debt`: it is owed no longer, and stands on the
    line *expired* on the day after. `stay_owed`: it is owed until the card is closed, as where the law or
    your own terms let customers use expired cards. Statements say which."""

    standard_accounts: Annotated[Text | None, form("a path")] = None
    """If you use the Norwegian standard accounts: where the tax administration's list of them is, as
    `General_Ledger_Standard_Accounts_4_character.csv` from github.com/Skatteetaten/saf-t. Then an account
    that is not on it stops `giftsync liability` and `close`, and the message names the nearest one."""

    accounts: AccountsSection = Field(default_factory=AccountsSection)


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

    database: Annotated[Text, form('an address such as "sqlite:///giftsync.db"')] = "sqlite:///giftsync.db"
    """The ledger: a SQLite file, or postgresql+psycopg://user:password@host/name. A relative path
    is taken from the folder of this file. `?schema=name` at the end keeps the ledger in that schema of the
    database, so that several links share it."""

    key_file: Annotated[Text | None, form("a path")] = None
    """The key that seals serials in the ledger. Made on first use, readable by its owner only; left out,
    it is next to the database. Without its key a ledger cannot be read: keep a copy of it somewhere safe."""

    key: Annotated[Secret | None, form("the one line that a key file holds")] = None
    """Instead of a key file, and only in the environment: the key itself."""

    link: LinkSection
    sides: Sides
    notices: NoticesSection = Field(default_factory=NoticesSection)
    worker: WorkerSection = Field(default_factory=WorkerSection)
    console: ConsoleSection = Field(default_factory=ConsoleSection)
    api: ApiSection = Field(default_factory=ApiSection)
    handover: HandoverSection = Field(default_factory=HandoverSection)
    books: BooksSection = Field(default_factory=BooksSection)

    def secrets(self) -> list[str]:
        """Everything that must never be shown, found by its type."""
        return list(secrets_in(self))

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
