"""The known layouts of card files: which column holds what, and what its words mean. Pure data and look-up.

Only Maestra publishes its layout (maestra.md §3). The others are inferred from the fields that the systems'
APIs have (flow.md §3, lightspeed.md A2 and B2, giftlocal.md §4, shopify.md §3.1), so headers are matched by
many names. A layout of one system is recognised by a column that only it has; every other file of numbers and
balances is read as `flow`, whose names are those of the field. A mapping file describes the rest (see
`custom`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Final

from mappings.lifecycle import CardStatus
from mappings.sentences import marked
from sync.importer.sheets.dates import DateForm


class Role(StrEnum):
    """What the rows of a file are."""

    #: Cards of the point of sale, with whole numbers.
    POS = "pos"
    #: Cards of the online shop, without their codes.
    ONLINE = "online"
    #: Numbers and nothing else that counts: for the pool.
    NUMBERS = "numbers"
    #: Pools that cards of a POS file belong to.
    POOLS = "pools"


class Field(StrEnum):
    """What a column holds. The values are the keys of a mapping file."""

    NUMBER = "number"
    BALANCE = "balance"
    CVC = "cvc"
    BRAND = "brand"
    STORE = "store"
    STATUS = "status"
    VALID_TO = "valid_to"
    LEGACY_NUMBER = "legacy_number"
    NOTE = "note"
    CURRENCY = "currency"
    POOL = "pool"
    ARCHIVED = "archived"
    CVV_REQUIRED = "cvv_required"
    ID = "id"
    LAST_CHARS = "last_chars"
    ENABLED = "enabled"
    ORDER = "order"


#: What each field is called where people read of it.
FIELD_WORDS: Final[Mapping[Field, str]] = {
    Field.NUMBER: marked("number"),
    Field.BALANCE: marked("balance"),
    Field.CVC: marked("CVC or PIN"),
    Field.BRAND: marked("brand"),
    Field.STORE: marked("store"),
    Field.STATUS: marked("status"),
    Field.VALID_TO: marked("last day"),
    Field.LEGACY_NUMBER: marked("former number"),
    Field.NOTE: marked("note"),
    Field.CURRENCY: marked("currency"),
    Field.POOL: marked("pool"),
    Field.ARCHIVED: marked("archived or not"),
    Field.CVV_REQUIRED: marked("CVV needed or not"),
    Field.ID: marked("id"),
    Field.LAST_CHARS: marked("last four"),
    Field.ENABLED: marked("enabled or not"),
    Field.ORDER: marked("order"),
}


@dataclass(frozen=True)
class Format:
    """A layout. Column names are compared by `key_of`."""

    name: str
    role: Role
    columns: Mapping[Field, tuple[str, ...]]
    required: frozenset[Field]
    #: At least one of these must be there for the file to be taken for this layout.
    telling: frozenset[Field] = frozenset()
    #: Lower-case words of the status column.
    statuses: Mapping[str, CardStatus] = field(default_factory=dict)
    #: For an empty or absent status.
    status_default: CardStatus | None = CardStatus.ACTIVE
    #: Whether stored value is written as a negative balance.
    negative_balances: bool = False
    #: Whether amounts are in minor units instead of decimals.
    minor_amounts: bool = False
    #: Given by a mapping file; found by looking if left out.
    decimal_mark: str | None = None
    day_first: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    date_form: DateForm | None = None
    #: Keys of columns that say nothing more, though their names sound like it.
    ignored: frozenset[str] = frozenset()
    #: Whether numbers of several lengths are as they were printed; False: the shorter may have lost zeros.
    mixed_lengths: bool = False


_NON_WORD: Final = re.compile(r"[^a-z0-9]+")
_FOLDED: Final = str.maketrans({"æ": "ae", "ø": "o", "å": "a", "ä": "a", "ö": "o", "ü": "u"})
_FOLDED_ANY: Final = str.maketrans(
    {
        **{chr(c): folded for c, folded in _FOLDED.items()},
        "Æ": "Ae",
        "Ø": "O",
        "Å": "A",
        "Ä": "A",
        "Ö": "O",
        "Ü": "U",
    }
)


def key_of(header: str) -> str:
    """A column's name as it is compared: `Card number` and `cardNumber` are the same."""
    return _NON_WORD.sub("", header.strip().lower().translate(_FOLDED))


_A, _I, _S, _C = CardStatus.ACTIVE, CardStatus.INACTIVE, CardStatus.SUSPENDED, CardStatus.CLOSED

FLOW: Final = Format(
    "flow",
    Role.POS,
    {
        Field.NUMBER: (
            *("number", "cardnumber", "giftcardnumber", "kortnummer", "gavekortnummer", "nummer", "kortnr"),
            *(
                "code",
                "giftcardcode",
                "couponcode",
                "kode",
                "serial",
                "serialnumber",
                "numero",
                "kartennummer",
            ),
        ),
        Field.BALANCE: (
            *("balance", "saldo", "restbelop", "remaining", "currentbalance", "remainingbalance"),
            *("restsaldo", "guthaben", "restwert", "solde", "remainingamount", "balanceamount"),
        ),
        Field.CVC: ("cvc", "cvv", "pin", "pincode", "pinkode", "kontrollkode", "securitycode", "cardpin"),
        Field.BRAND: ("brand", "brandname", "merke", "type", "korttype", "giftcardtypename", "giftcardtype"),
        Field.STORE: ("store", "storename", "merchant", "butikk", "storenumber", "outlet", "shop"),
        Field.STATUS: ("status", "state", "cardstatus", "tilstand"),
        Field.VALID_TO: (
            *("validto", "expires", "expiry", "expirydate", "gyldigtil", "utloper", "utlopsdato"),
            *(
                "expireson",
                "expiresat",
                "expiresutc",
                "expirationdate",
                "expiration",
                "expdate",
                "validuntil",
            ),
            *("gueltigbis", "gultigbis", "ablaufdatum", "giltigtill", "udlobsdato", "end", "enddate"),
        ),
        Field.LEGACY_NUMBER: ("legacynumber", "legacycardnumber", "oldnumber", "gammeltnummer"),
        Field.NOTE: ("note", "comment", "merknad", "notat"),
        Field.CURRENCY: ("currency", "valuta", "currencycode", "wahrung"),
        Field.ENABLED: ("enabled", "active", "isactive", "aktiv", "isenabled"),
        Field.ARCHIVED: ("archived", "arkivert", "deleted", "slettet", "isdeleted", "voided"),
    },
    frozenset({Field.NUMBER, Field.BALANCE}),
    statuses={
        **dict.fromkeys(["active", "aktiv", "activated", "aktivert", "enabled", "available", "valid"], _A),
        **dict.fromkeys(["open", "issued", "publish", "published", "gyldig", "i bruk", "solgt", "sold"], _A),
        # Nothing on it, or past its date: balance and date say so.
        **dict.fromkeys(["used", "redeemed", "expired", "utlopt", "utløpt", "brukt", "fully redeemed"], _A),
        **dict.fromkeys(["partially redeemed", "partially used", "delvis brukt"], _A),
        **dict.fromkeys(["inactive", "inaktiv", "not activated", "pending", "draft", "ikke aktivert"], _I),
        **dict.fromkeys(["blocked", "sperret", "suspended", "frozen", "gesperrt", "disabled", "spärrat"], _S),
        **dict.fromkeys(["ywgc-disabled", "deaktivert", "on hold"], _S),
        **dict.fromkeys(["cleared", "closed", "void", "voided", "cancelled", "canceled", "avsluttet"], _C),
        **dict.fromkeys(["refunded", "trash", "deleted", "makulert", "kansellert"], _C),
    },
)

MAESTRA_CARDS: Final = Format(
    "maestra-cards",
    Role.POS,
    {
        Field.NUMBER: ("cardnumber", "giftcardnumber", "number", "customfieldnumber"),
        Field.POOL: ("poolsystemname", "giftcardpoolsystemname", "pool"),
        Field.CVC: ("giftcardcvv", "cvv"),
        Field.BALANCE: ("cardbalance", "giftcardbalance", "balance", "amount"),
        Field.STORE: ("pointofcontactexternalid", "activatedpointofcontact"),
        Field.STATUS: ("giftcardstatus", "status"),
    },
    frozenset({Field.NUMBER, Field.POOL, Field.BALANCE}),
    telling=frozenset({Field.POOL}),
    statuses={
        "canbeused": _A,
        "activated": _A,
        "inactive": _I,
        "not activated": _I,
        "notactivated": _I,
        "blocked": _S,
        "redeemed": _A,
        "expired": _A,
    },
    # "Inactive (default; sellable)", maestra.md §3.
    status_default=_I,
)

MAESTRA_POOLS: Final = Format(
    "maestra-pools",
    Role.POOLS,
    {
        Field.POOL: ("poolsystemname", "systemname"),
        Field.BRAND: ("poolname", "name"),
        Field.CVV_REQUIRED: ("iscvvrequired", "cvvrequirement", "cvvrequired"),
    },
    frozenset({Field.POOL, Field.CVV_REQUIRED}),
    telling=frozenset({Field.CVV_REQUIRED}),
)

LIGHTSPEED_R: Final = Format(
    "lightspeed-r",
    Role.POS,
    {
        Field.NUMBER: ("code", "giftcardcode", "cardnumber"),
        Field.BALANCE: ("balance",),
        Field.ARCHIVED: ("archived",),
        Field.NOTE: ("description", "name"),
        Field.STORE: ("shop", "shopname"),
        Field.ID: ("creditaccountid",),
    },
    frozenset({Field.NUMBER, Field.BALANCE}),
    telling=frozenset({Field.ID, Field.ARCHIVED}),
    # "Balances are negative for stored value", lightspeed.md A2.
    negative_balances=True,
)

LIGHTSPEED_X: Final = Format(
    "lightspeed-x",
    Role.POS,
    {
        Field.NUMBER: ("number", "cardnumber", "giftcardnumber"),
        Field.BALANCE: ("balance", "remainingbalance"),
        Field.STATUS: ("status",),
        Field.VALID_TO: ("expiresat", "expirydate", "expires"),
        Field.STORE: ("outlet", "outletname", "salesource"),
        # Only told apart from other exports by these.
        Field.ID: ("totalsold", "totalredeemed", "saleid"),
    },
    frozenset({Field.NUMBER, Field.BALANCE}),
    telling=frozenset({Field.ID}),
    statuses={
        "active": _A,
        "inactive": _I,
        "redeemed": _A,
        "voided": _C,
        "expired": _A,
    },
)

GIFT_LOCAL: Final = Format(
    "giftlocal",
    Role.POS,
    {
        Field.NUMBER: ("vouchercode", "giftcode"),
        Field.BALANCE: ("remainingvalue", "vouchereligiblevalue", "voucherpresentvalue", "balance"),
        Field.VALID_TO: ("validto", "expires", "expirydate"),
        Field.STORE: ("organizationname", "location"),
        Field.CURRENCY: ("currency",),
        Field.NOTE: ("recipientdescription", "note"),
        Field.ID: ("voucherid", "voucherpublictoken"),
    },
    frozenset({Field.NUMBER, Field.BALANCE}),
    telling=frozenset({Field.NUMBER}),
    # A gift is typed as twelve digits, so a shorter one has lost its leading zeros (giftlocal.md §2).
)

SHOPIFY: Final = Format(
    "shopify",
    Role.ONLINE,
    {
        Field.ID: ("id", "giftcardid"),
        Field.LAST_CHARS: ("lastcharacters", "lastfour", "last4", "codelast4", "last4characters"),
        Field.BALANCE: ("currentbalance", "balance", "remainingbalance"),
        Field.CURRENCY: ("currency",),
        Field.VALID_TO: ("expireson", "expires", "expirydate"),
        Field.ENABLED: ("enabled", "active"),
        Field.ORDER: ("order", "ordername", "ordernumber"),
        Field.NOTE: ("note",),
    },
    frozenset({Field.ID, Field.LAST_CHARS, Field.BALANCE}),
    telling=frozenset({Field.LAST_CHARS}),
    # The date says so, too.
    ignored=frozenset({"expired"}),
)

#: Numbers for the pool. Never recognised: a file is one because somebody says so.
NUMBERS: Final = Format(
    "numbers",
    Role.NUMBERS,
    {what: FLOW.columns[what] for what in (Field.NUMBER, Field.BRAND, Field.CVC)},
    frozenset({Field.NUMBER}),
)

#: The one whose names are those of the field: what a header that no layout fits is compared with.
DEFAULT: Final = FLOW
FORMATS: Final = (
    MAESTRA_CARDS,
    MAESTRA_POOLS,
    LIGHTSPEED_X,
    LIGHTSPEED_R,
    GIFT_LOCAL,
    SHOPIFY,
    FLOW,
)


def format_named(name: str) -> Format | None:
    return next((one for one in FORMATS if one.name == name), None)


def columns_of(layout: Format, header: Sequence[str]) -> dict[Field, int]:
    """Where each field stands; the first name that the layout lists wins, and no column serves twice."""
    positions: dict[str, int] = {}
    for position, name in enumerate(header):
        positions.setdefault(key_of(name), position)
    found: dict[Field, int] = {}
    for what, names in layout.columns.items():
        taken = set(found.values())
        here = next((positions[n] for n in names if n in positions and positions[n] not in taken), None)
        if here is not None:
            found[what] = here
    return found


def recognise(header: Sequence[str], formats: Sequence[Format] = FORMATS) -> Format | None:
    """The layout that explains most columns of the header; the earlier one when two explain as many."""
    best: tuple[int, Format] | None = None
    for layout in formats:
        found = columns_of(layout, header)
        if not layout.required <= set(found) or (layout.telling and not layout.telling & set(found)):
            continue
        if best is None or len(found) > best[0]:
            best = (len(found), layout)
    return None if best is None else best[1]


# --- Columns that are not used ------------------------------------------------------------------------------

_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
#: Words that a column's name holds, whole or (with a star) at their beginning.
_SUGGESTING: Final[Mapping[str, tuple[str, ...]]] = {
    marked("status"): (
        *("status*", "state", "active", "aktiv*", "enabled", "disabled", "blocked", "sperret", "gesperrt"),
        *("tilstand", "zustand", "statut", "archived", "arkivert", "void*", "deleted", "cancel*", "suspend*"),
        *("locked", "frozen", "estado", "inactive"),
    ),
    marked("expiry"): (
        *(
            "expir*",
            "exp",
            "gyldigtil",
            "utlop*",
            "ablauf*",
            "gueltigbis",
            "gultigbis",
            "validto",
            "validuntil",
        ),
        *("validthru", "validtill", "enddate", "end", "verfall*", "udlob*", "giltigtill", "vervaldatum"),
    ),
    marked("currency"): ("currenc*", "valuta*", "wahrung*", "devise", "moneda", "valute"),
    marked("PIN"): ("pin", "pincode", "pinkode", "pinkod", "cvc*", "cvv*", "securitycode", "kontrollkode"),
    marked("balance"): (
        *(
            "balance*",
            "saldo*",
            "remaining*",
            "restbelop",
            "restwert",
            "guthaben",
            "solde",
            "rest",
            "available",
        ),
    ),
}
#: Amounts of another moment than now.
_OTHER_AMOUNT: Final = re.compile(
    r"(initial|original|opening|start|first|issued?|face|opprinnelig|ursprunglig|anfangs?)"
)


def suggests(name: str) -> str | None:
    """What a column's name sounds like: status, expiry, currency, PIN or balance; None for any other."""
    words = [word.lower() for word in _WORDS.findall(name.translate(_FOLDED_ANY))]
    spoken = {*words, *(one + two for one, two in pairwise(words))}
    for what, stems in _SUGGESTING.items():
        for stem in stems:
            whole = stem.rstrip("*")
            if any(word == whole or (stem != whole and word.startswith(whole)) for word in spoken):
                return None if what == "balance" and _OTHER_AMOUNT.match(key_of(name)) else what
    return None


def unused_columns(
    layout: Format, header: Sequence[str], used: Iterable[int]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Names of columns that are not read; then those that sound as if they mattered, and as what."""
    taken = set(used)
    names = [
        name.strip()
        for position, name in enumerate(header)
        if position not in taken and name.strip() and not name.startswith("giftsync ")
    ]
    loud = [(name, what) for name in names if key_of(name) not in layout.ignored and (what := suggests(name))]
    return tuple(names), tuple(loud)
