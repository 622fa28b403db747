"""What a connector's settings are made of: types of values, a table of the file, and what every side has.

The docstring under a key is its documentation, everywhere: `config init` writes it as a comment and the
reference page is made from it. A key's `form` says what is expected there, for both of these and for error
messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from mappings.addresses import is_private_channel

SECRET_FILE_BYTES_MAX = 8192
HTTP_HERE = "plain http:// only on this machine"


def form(text: str) -> Any:
    return Field(json_schema_extra={"form": text})


def check_not_empty(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("empty", "is empty")
    return text


@cache
def _zones() -> frozenset[str]:
    """Every zone's name; reading them from the disk takes a hundred times as long as all else."""
    return frozenset(available_timezones())


def _check_timezone(name: str) -> str:
    check_not_empty(name)
    # The set is asked first: ZoneInfo would take other paths below the zone directory, too.
    if name not in _zones():
        raise ValueError("no such time zone")
    ZoneInfo(name)
    return name


def _check_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    check_not_empty(text)
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


Bool = Annotated[bool, BeforeValidator(_true_or_false), form("true or false")]
Text = Annotated[str, AfterValidator(check_not_empty)]
Uid = Annotated[str, AfterValidator(check_not_empty), Field(pattern=r"^[A-Za-z0-9_-]+$")]
Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), form('an ISO 4217 code such as "NOK"')]
Timezone = Annotated[str, AfterValidator(_check_timezone), form('an IANA name such as "Europe/Oslo"')]
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


def is_secret(field: FieldInfo) -> bool:
    """Whether a key holds a secret: told by its type."""

    def holds(annotation: object) -> bool:
        return annotation is SecretStr or any(holds(part) for part in get_args(annotation))

    return holds(field.annotation)


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


def check_there(section: BaseModel, names: Sequence[str], table: str = "") -> None:
    """Raise one error that names every key that is needed and not there."""
    missing = [f"{table}{name}" for name in names if getattr(section, name) is None]
    if missing:
        raise PydanticCustomError("needed", "{keys}", {"keys": " ".join(missing)})


def secrets_in(value: object) -> Iterator[str]:
    """Every secret of a section, however deep: they are found by their type."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from secrets_in(getattr(value, name))
        case Mapping():
            for inner in value.values():
                yield from secrets_in(inner)
        case list() | tuple():
            for inner in value:
                yield from secrets_in(inner)


Direction = Literal["both", "in", "out", "off"]


class SideDirections(Section):
    """Which way each field of a card goes between this side and the others. `in`: what the others say counts,
    and what was changed here is set back; `out`: what is changed here counts, and nothing is written here;
    `off`: this side keeps its own. Change them whenever you like: what was planned and is not allowed any
    more is taken back, at the next start."""

    balance: Direction = "both"
    """Money that moved here is always taken into the ledger, since it is gone here. Where it may not be
    written on another side it becomes a conflict with the exact amount, because the same money could be spent
    twice."""

    status: Direction = "both"
    """Whether a card may be used: suspended, released, closed."""

    expiry: Direction = "both"
    """The last day on which a card may be used."""


class SideSection(Section):
    """One side of the link: a system that holds gift cards. A link has two to eight; several may be of one
    type."""

    connector: Annotated[Text, form("the name of an installed connector")]
    """The type of system. `giftsync config connectors` lists what is installed."""

    create_update: Bool = True
    """Cards that are sold on other sides are created here, and their balance, status and expiry are kept up
    to date here. If false, nothing is ever written to this side."""

    download: Bool = True
    """Cards that are sold here are brought to the other sides. If false, they can be spent here only."""

    send_notifications: Bool = False
    """Buyers of cards that are sold elsewhere from now on are told by this side that they can use them here.
    Cards that exist already, and imports, tell nobody. If false, no customer data is sent here."""

    serial_prefix: Annotated[
        str, Field(pattern=r"^([0-9]{4})?$"), form('four digits, such as "9900", or ""')
    ] = "9900"
    """The first four digits of the number that a card gets here when the side that sold it shows its number
    to the buyer only, and the pool of pre-generated numbers for this side is empty. Choose four digits that
    no printed card begins with. With `""` numbers come from the pool only; while it is empty, such cards
    wait, and a conflict says so."""

    lengthen_short_numbers: Bool = False
    """If true, a number that is too short for this side gets `giftsync` before it here: the customer of card
    12345 types giftsync12345. If false, such a card opens a conflict."""

    excluded_brands: Annotated[list[Text], form('a list such as ["Tilgodelapp"]')] = Field(
        default_factory=list
    )
    """Brands, as this side calls them, whose cards are not kept in step: they are not created on other sides
    and open no conflict. `giftsync status` counts those that it met. Cards that were in step before go on
    being so."""

    directions: SideDirections = Field(default_factory=SideDirections)

    @property
    def brand_names(self) -> Mapping[str, str]:
        """What the link's brands are called here, by brand; empty: by their own names."""
        return {}

    @property
    def known_brands(self) -> Sequence[str]:
        """The brands that the side's settings name."""
        return list(self.brand_names)

    @property
    def suspends_for_good(self) -> bool:
        """Whether a suspension closes the card here."""
        return False

    @property
    def looks_per_second(self) -> float:
        """How many cards are looked at in a second, on a side that is read one card at a time."""
        return 5.0
