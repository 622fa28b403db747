"""The vocabulary as values: cards, presences, intents, and what a decision changes.

All amounts are integer minor units of the card's currency. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TypeVar

from connectors.api.card import Observation
from connectors.api.effect import EffectKind
from connectors.api.errors import Refusal
from mappings.brands import Brands
from mappings.contact import Contact
from mappings.lifecycle import CardStatus
from mappings.serials import Serial

_Record = TypeVar("_Record")


def altered(record: _Record, **fields: object) -> _Record:
    """`dataclasses.replace` for the records here, which only hold what they are given.

    A movement alters some fifty records of twenty fields, and to give each field to `__init__` takes five
    times as long.
    """
    there = vars(record)
    if not fields.keys() <= there.keys():
        raise TypeError(f"{type(record).__name__} has no {', '.join(fields.keys() - there.keys())}")
    made = object.__new__(type(record))
    vars(made).update(there, **fields)
    return made


class IntentState(StrEnum):
    #: Recorded; surely nothing has happened on the side yet.
    PLANNED = "planned"
    #: Committed right before the call; a worker that dies leaves it here.
    SENT = "sent"
    #: The call may or may not have happened. Read back before anything else.
    IN_DOUBT = "in_doubt"
    APPLIED = "applied"
    #: The side said no; the promise was withdrawn.
    REFUSED = "refused"
    #: Taken back before it was sent, or settled by a person as not landed.
    WITHDRAWN = "withdrawn"

    @property
    def is_open(self) -> bool:
        return self in (IntentState.PLANNED, IntentState.SENT, IntentState.IN_DOUBT)


class MovementKind(StrEnum):
    #: The balance with which the hub first met the card.
    OPENING = "opening"
    #: A side's balance moved, and it was not us.
    OBSERVED = "observed"
    #: A card was closed with money on it; the money ends with the card.
    CLOSED = "closed"
    #: Two sides spent the same money; the merchant bears the difference.
    WRITE_OFF = "write_off"
    #: A person settled a conflict.
    RESOLUTION = "resolution"
    #: A caller of the API paid with the card.
    REDEMPTION = "redemption"
    #: A redemption was given back, whole or in part.
    REVERSAL = "reversal"
    #: A caller of the API put money on the card.
    LOAD = "load"
    #: A side's existing balance was adopted for a card the hub knew already. Moves the shadow only.
    ADOPTED = "adopted"
    #: One of our own effects landed again, or after all. Moves the shadow only; settling undoes it.
    ECHO = "echo"


class ConflictKind(StrEnum):
    OVERDRAFT = "overdraft"
    FIRST_CONTACT = "first_contact"
    STATUS = "status"
    EXPIRY = "expiry"
    SERIAL = "serial"
    CURRENCY = "currency"
    OVER_LIMIT = "over_limit"
    MISSING = "missing"
    #: A side answers for the card, and the answer cannot be believed.
    UNREADABLE = "unreadable"
    DUPLICATE = "duplicate"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    #: Money is owed to a presence that cannot be written: expired, suspended, or against the directions.
    NOT_WRITABLE = "not_writable"
    #: The buyer of a new card was not told of it, or nobody knows whether.
    NOTIFICATION = "notification"
    #: The ledger was put back to an earlier state, and for some cards the sides' books do not say what
    #: followed.
    LEDGER_BEHIND = "ledger_behind"
    #: A side shows a new effect of giftsync's that this ledger did not make: another one is at work.
    SECOND_LEDGER = "second_ledger"
    POOL_EMPTY = "pool_empty"
    BRAKE = "brake"
    #: The card's rows in the ledger are not as giftsync wrote them.
    TAMPERED = "tampered"
    #: Rows that the ledger keeps for good are not as giftsync wrote them; what the card is worth is proved
    #: without them.
    HISTORY_CHANGED = "history_changed"


#: How a conflict was settled that is not told of again while it stays as it is.
IGNORED = "ignore"


class Closing(StrEnum):
    """What follows when one side closes a card for good."""

    #: It is closed on the others as well, and its money ends.
    PROPAGATE = "propagate"
    #: It stays as it is on the others, and a person is asked.
    CONFLICT = "conflict"


class Overdraft(StrEnum):
    """What a person has to do about money that was spent twice. It is reported and written off either way."""

    #: Say that they have seen it.
    ASK = "ask"
    #: Nothing: the conflict is in the log, settled.
    WRITE_OFF = "write_off"


class Hold(StrEnum):
    """Why nothing is written to a presence until its cause is gone or a person acts."""

    MISSING = "missing"
    STATUS = "status"
    CURRENCY = "currency"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    #: Under the id of the card the side shows one that ends in other characters.
    OTHER_CARD = "other_card"


class FirstContact(StrEnum):
    """Which balance wins when one serial has two on first contact; `ASK` opens a conflict."""

    ASK = "ask"
    LOWER = "lower"
    HIGHER = "higher"


class RedemptionState(StrEnum):
    #: The hub has taken the amount off the card; a side has not confirmed its debit yet.
    PENDING = "pending"
    #: Every side has confirmed; the amount waits to be captured or given back.
    AUTHORIZED = "authorized"
    COMPLETED = "completed"
    #: It could not be confirmed: the amount was given back, and the caller must not hand anything over.
    REFUSED = "refused"
    #: An authorization that was given back by its caller.
    VOIDED = "voided"
    #: An authorization that nobody captured in time; it was given back.
    EXPIRED = "expired"
    #: Given back whole by its caller.
    REVERSED = "reversed"

    @property
    def is_open(self) -> bool:
        """Whether it still changes by itself."""
        return self in (RedemptionState.PENDING, RedemptionState.AUTHORIZED)


class Unconfirmed(StrEnum):
    """What becomes of a redemption that a side cannot confirm: it is down, or may not be debited."""

    #: It is refused, and what other sides have confirmed is given back there.
    REFUSE = "refuse"
    #: It stands; the side is debited as soon as it can be, and may be overspent until then.
    RECORD = "record"


@dataclass(frozen=True)
class Redemption:
    """An open redemption: money that the hub has taken off the card for a caller of the API."""

    id: str
    #: What it takes off the card now, positive.
    amount_minor: int
    state: RedemptionState
    #: Pending: then it is ended, confirmed or not. Authorized: then it is given back, unless captured.
    ends_at: datetime
    #: An authorization: how long it waits to be captured once it is confirmed.
    capture_until: datetime | None = None
    unconfirmed: Unconfirmed = Unconfirmed.REFUSE


@dataclass(frozen=True)
class NewRedemption:
    """A redemption as it is recorded, with what its caller said."""

    redemption: Redemption
    #: `authorise` or `record`.
    mode: str
    caller: Caller
    #: Whether no side can spend it any more, as it is recorded.
    confirmed: bool = False


@dataclass(frozen=True)
class RedemptionChange:
    """One change of a redemption's state or of what it takes off the card."""

    id: str
    state: RedemptionState
    amount_minor: int
    reason: str = ""
    #: Of an open one: when it ends.
    ends_at: datetime | None = None
    #: Whether every side had confirmed it; None: as before.
    confirmed: bool | None = None


@dataclass(frozen=True)
class Caller:
    """Who asked for a movement of the hub, in their words; never a number of a card."""

    #: The API token; empty for giftsync itself.
    token_id: str = ""
    location: str = ""
    reference: str = ""
    #: The request that this answers: its Idempotency-Key. What it makes is made once.
    key: str | None = None


class HubEntryKind(StrEnum):
    REVERSAL = "reversal"
    CAPTURE = "capture"
    VOID = "void"
    LOAD = "load"
    ISSUE = "issue"
    CHANGE = "change"


@dataclass(frozen=True)
class HubEntry:
    """What a caller of the API did to a card, beside redemptions."""

    id: str
    kind: HubEntryKind
    #: Signed change of the hub's balance.
    amount_minor: int
    caller: Caller
    redemption_id: str | None = None
    words: str = ""
    #: Of an issue: the card can be used with its CVC only.
    with_cvc: bool = False


@dataclass(frozen=True)
class Intent:
    """An effect to carry out on a side."""

    #: Unique; the side can be searched for it.
    marker: str
    side: str
    kind: EffectKind
    state: IntentState
    #: Order within the card.
    sequence: int
    #: Signed change of the shadow: create and credit positive, debit negative, others zero.
    amount_minor: int = 0
    status: CardStatus | None = None
    expires_on: date | None = None
    #: For set_status and set_expiry: the shadow to return to when refused.
    status_before: CardStatus | None = None
    expires_before: date | None = None
    note: str = ""
    brand: str | None = None
    progress: Mapping[str, str] = field(default_factory=dict)
    #: Whether any attempt was ever in doubt; then a refusal proves nothing about the earlier one.
    doubted: bool = False
    #: How many times it is known to have taken effect on the side.
    landings: int = 0
    #: Not to be sent, or not to be taken for absent, before this moment.
    not_before: datetime | None = None
    #: When what is in doubt is looked for next; None: at `not_before`.
    look_at: datetime | None = None
    #: A refusal that waits for the read-back of an earlier doubted attempt.
    refusal: Refusal | None = None
    #: How many read-backs could not tell.
    unclear_reads: int = 0
    #: How many attempts were not sent.
    postponed: int = 0

    @property
    def due_at(self) -> datetime | None:
        """When something can be done for it next; None: at any time."""
        return self.not_before if self.look_at is None else self.look_at


@dataclass(frozen=True)
class Presence:
    """A card on one side."""

    side: str
    #: None until the card exists there.
    native_id: str | None
    #: None where only the owner knows it.
    serial: Serial | None
    last_chars: str
    #: What the side will show once every open intent has landed and nobody else has moved it.
    shadow_minor: int
    shadow_status: CardStatus
    shadow_expires_on: date | None
    #: False while the create is not applied.
    born: bool = True
    #: To be observed before anything is planned for it.
    stale: bool = False
    hold: Hold | None = None
    #: The last refusal and how many came in a row without an explanation.
    refusal: Refusal | None = None
    refusals: int = 0
    #: How many answers for it in a row could not be believed.
    unreadable: int = 0
    #: Open intents, by sequence.
    open_intents: tuple[Intent, ...] = ()
    #: The newest entry of the side's own book that an observation has explained.
    book_cursor: str | None = None
    #: What that book said up to there, by which a rewritten one is known; see `evidence.read_to`.
    book_digest: str | None = field(default=None, compare=False)
    brand: str | None = None
    #: For the create: words for staff on the other side.
    note: str = ""
    #: The side takes no payment with the card without its CVC, as it showed last.
    needs_cvc: bool = False
    #: How the buyer is reached, until they were told of the card.
    contact: Contact | None = None
    id: int | None = None


def to_create(side: str, serial: Serial | None, brand: str | None = None, note: str = "") -> Presence:
    """A presence that is to be created on the side under this serial; None: the side assigns one."""
    last_chars = "" if serial is None else serial.last_chars
    return Presence(
        side, None, serial, last_chars, 0, CardStatus.ACTIVE, None, born=False, brand=brand, note=note
    )


#: A card that may be closed on a side: it is closed, or suspended where that is for good.
_ENDED = frozenset({CardStatus.CLOSED, CardStatus.SUSPENDED})


@dataclass(frozen=True)
class IntentSums:
    """What all intents of a card come to, ended ones too: their number, amounts, and what landed."""

    count: int = 0
    amount_minor: int = 0
    landings: int = 0
    landed_minor: int = 0
    #: How many were ever in doubt.
    doubted: int = 0
    #: Redemptions of the API, and what these take off the card.
    redemptions: int = 0
    redeemed_minor: int = 0


@dataclass(frozen=True)
class ChainEnd:
    """Where a card's hash chain ends, and the keyed digest of the card as it was loaded or committed."""

    seq: int = 0
    head: str = ""
    digest: str = ""
    #: Rows before it that were gone when the card was rebuilt; less than zero: that others had added.
    lost: int = 0
    asked: IntentSums = IntentSums()


@dataclass(frozen=True)
class Card:
    """The hub's record of one gift card."""

    currency: str
    balance_minor: int
    status: CardStatus
    expires_on: date | None
    presences: tuple[Presence, ...]
    #: First contact found two balances: nothing is decided until a person does.
    held: bool = False
    #: The ledger may lack what a newer one did with this card: the sides' books are read before anything is
    #: decided. With `held`: they do not say it, and a person has to.
    behind: bool = False
    #: Causes of its open and its ignored conflicts, and the money at stake in each.
    causes: Mapping[str, int] = field(default_factory=dict)
    #: Those that a person does not want to be told of while they stay as they are.
    ignored: frozenset[str] = frozenset()
    #: Open redemptions of the API, oldest first.
    redemptions: tuple[Redemption, ...] = ()
    #: Redemptions that were recorded for it, and not taken off yet, when it was loaded.
    recorded: int = field(default=0, compare=False)
    version: int = 0
    id: int | None = None
    chain: ChainEnd = ChainEnd()

    def presence(self, side: str) -> Presence:
        return next(p for p in self.presences if p.side == side)

    def with_intent(self, intent: Intent) -> Card:
        """The card with one of its open intents as it is now."""

        def changed(p: Presence) -> Presence:
            if all(i.marker != intent.marker for i in p.open_intents):
                return p
            now = tuple(intent if i.marker == intent.marker else i for i in p.open_intents)
            return altered(p, open_intents=now)

        return altered(self, presences=tuple(changed(p) for p in self.presences))

    @property
    def open_intents(self) -> tuple[Intent, ...]:
        return tuple(i for p in self.presences for i in p.open_intents)

    @property
    def in_step(self) -> bool:
        """Every side shows, as far as is known, what the hub says; nothing waits."""
        return self.is_in_step()

    def is_in_step(self, own_dates: Collection[str] = ()) -> bool:
        """`in_step`, but for the expiry date on the sides in `own_dates`, which take none from giftsync."""
        return not self.held and all(
            not p.stale
            and p.hold is None
            and not p.open_intents
            and (
                # Closed is final there: nothing of it can be brought in step any more.
                (p.shadow_status is CardStatus.CLOSED and self.status in _ENDED)
                or (
                    p.shadow_minor == self.balance_minor
                    and (not p.born or p.shadow_status == self.status)
                    and (not p.born or p.side in own_dates or p.shadow_expires_on == self.expires_on)
                )
            )
            for p in self.presences
        )


@dataclass(frozen=True)
class NewMovement:
    kind: MovementKind
    #: The side it entered from; None for write-offs and resolutions.
    side: str | None
    #: Signed change of the hub balance.
    amount_minor: int
    #: Signed change of that side's shadow.
    shadow_delta_minor: int
    #: Hub balance after it.
    balance_after_minor: int
    evidence: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NewIntent:
    """An effect that a decision plans. Amounts in minor units."""

    side: str
    kind: EffectKind
    amount_minor: int = 0
    status: CardStatus | None = None
    expires_on: date | None = None
    status_before: CardStatus | None = None
    expires_before: date | None = None
    note: str = ""
    brand: str | None = None
    #: An effect of a newer ledger that this one has lost, read back from the side's book: it is recorded as
    #: applied, under the marker that it has there.
    lost: LostEffect | None = None
    #: Its call follows at once: it is planned and sent with one commit.
    sends: bool = False


@dataclass(frozen=True)
class LostEffect:
    """An effect of giftsync's that a side shows and this ledger did not make."""

    marker: str
    #: Signed change of the card's balance there.
    amount_minor: int
    #: The side's own id of the entry, order or card.
    reference: str = ""


@dataclass(frozen=True)
class Told:
    """What a side's feed told of a card since the ledger was put back, oldest first."""

    #: None where a customer moved the card.
    marker: str | None
    #: Signed; None: the side does not show how much.
    amount_minor: int | None
    reference: str


@dataclass(frozen=True)
class Traces:
    """What is known beside the observations of what was done to a card, by side."""

    #: What feeds told.
    told: Mapping[str, Sequence[Told]] = field(default_factory=dict)
    #: Sides that list no entries, but whose feeds are known to show giftsync's effects.
    show_ours: frozenset[str] = frozenset()
    #: Of a ledger that was current until a second one was found: what it knows that customers did, by side,
    #: oldest first. The second one may have mirrored that as well.
    history: Mapping[str, Sequence[int]] = field(default_factory=dict)
    #: Where the hub's card is not yet: the create with which a newer ledger made it; None: of how much is not
    #: known.
    made: Mapping[str, LostEffect | None] = field(default_factory=dict)


@dataclass(frozen=True)
class IntentChange:
    """One step of an intent: appended to its states."""

    marker: str
    state: IntentState
    reason: str = ""
    doubted: bool | None = None
    landings: int | None = None
    not_before: datetime | None = None
    look_at: datetime | None = None
    refusal: Refusal | None = None
    unclear_reads: int | None = None
    postponed: int | None = None


@dataclass(frozen=True)
class NewConflict:
    kind: ConflictKind
    #: One conflict per cause, however often it is seen.
    cause: str
    summary: str
    side: str | None = None
    #: Money at stake, positive.
    amount_minor: int = 0
    proposal: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)
    #: Once ignored, it is told of again when other money is at stake. False: the stake is what is on the
    #: card, which moves with every purchase.
    stake_is_news: bool = True
    #: It is settled already, by a setting or by the resolution that raised it: what it came to.
    settled: str | None = None
    settled_by_person: bool = False


@dataclass(frozen=True)
class NewResolution:
    """Who settled which conflict, how and why; kept with the conflict."""

    conflict_id: int
    action: str
    by: str
    why: str
    #: What was said with the action, and what is needed to take it back; the markers of what it planned
    #: are added.
    decided: Mapping[str, object] = field(default_factory=dict)
    #: It stands in the place of a decision that was not carried out yet.
    replaces: bool = False


@dataclass(frozen=True)
class Decision:
    """What one step changes, to be committed in one transaction."""

    card: Card
    movements: tuple[NewMovement, ...] = ()
    intents: tuple[NewIntent, ...] = ()
    intent_changes: tuple[IntentChange, ...] = ()
    conflicts: tuple[NewConflict, ...] = ()
    #: Causes that are gone: their open conflicts close by themselves.
    causes_gone: tuple[str, ...] = ()
    resolution: NewResolution | None = None
    new_redemptions: tuple[NewRedemption, ...] = ()
    redemption_changes: tuple[RedemptionChange, ...] = ()
    entries: tuple[HubEntry, ...] = ()
    #: Redemptions that were recorded before, and whose movements are among these.
    entered: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnownMarker:
    """What the ledger knows of one of our markers: its amount, and how often it is known to have landed."""

    amount_minor: int
    landings: int
    #: The effect was meant for another card: somebody copied its note by hand.
    copied: bool = False
    side: str | None = None
    #: It made the card; some sides list no entry for that.
    creates: bool = False
    #: No answer told what became of it.
    doubted: bool = False


#: What each side answered, by side.
Observations = Mapping[str, Observation]


@dataclass(frozen=True)
class SideRules:
    """What the link and the side's capabilities together allow."""

    creates: bool = True
    debits: bool = True
    credits: bool = True
    sets_expiry: bool = True
    sets_status: frozenset[CardStatus] = frozenset(CardStatus)
    #: False: the merchant wants the side's statuses left as they are.
    writes_status: bool = True
    #: What the side shows of a field counts for the card; False: it is the side's own affair.
    tells_status: bool = True
    tells_expiry: bool = True
    #: The side can be given a date; one that cannot, and shows none, says nothing of the card's own.
    takes_expiry: bool = True
    #: A card's date there is to be the same as elsewhere; False: the side takes none, or the merchant's
    #: directions keep its dates apart.
    follows_expiry: bool = True
    #: What is set there for a suspended card: SUSPENDED, or CLOSED where it is to be for good.
    suspends_as: CardStatus = CardStatus.SUSPENDED
    moves_when_suspended: bool = False
    #: See `Capabilities.suspends_by_date`.
    suspends_by_date: bool = False
    #: Buyers of new cards are told through this side.
    notifies: bool = False
    #: Cards that are sold on it are brought to the other sides.
    shares: bool = True
    #: The first digits of the numbers that giftsync makes for it; None: only pool numbers are used.
    serial_prefix: str | None = None
    #: See `Capabilities.assigns_numbers`.
    assigns_numbers: bool = False
    #: Numbers that are too short for it are made longer there, by `mappings.serials.lengthened`.
    lengthens: bool = False
    #: The most that one card may hold there; None: not known, or no limit.
    card_limit_minor: int | None = None


@dataclass(frozen=True)
class LinkRules:
    """The merchant's settings, as far as decisions need them."""

    sides: Mapping[str, SideRules]
    first_contact: FirstContact = FirstContact.ASK
    #: A side's name: that side's balance wins on first contact.
    first_contact_side: str | None = None
    closing: Closing = Closing.PROPAGATE
    overdraft: Overdraft = Overdraft.ASK
    brands: Brands = field(default_factory=Brands)

    @property
    def own_dates(self) -> frozenset[str]:
        """The sides on which giftsync sets no expiry date."""
        return frozenset(name for name, side in self.sides.items() if not side.follows_expiry)

    def side(self, name: str) -> SideRules:
        """What holds on the side; one that the link does not name is only looked at."""
        return self.sides.get(name, SideRules())


class InvariantBroken(Exception):
    """The ledger contradicts itself. Work stops; `giftsync audit` tells where."""


class AlreadyMade(Exception):
    """A request of the API has made its movement already, in another attempt."""


class Tampered(InvariantBroken):
    """A card's rows are not as giftsync wrote them: nothing is sent for it, and nothing written over it."""

    def __init__(self, card_id: int) -> None:
        super().__init__(
            f"the rows of card {card_id} are not as giftsync wrote them; nothing is done with it. "
            "`giftsync audit` tells what differs, `giftsync conflicts list` how to go on"
        )
        self.card_id = card_id


class LeaseLost(Exception):
    """Another worker has the card now; everything this one still holds is stale."""


class LinkStopped(Exception):
    """The link stands still until a person resumes it; nothing was sent. `reasons` are sentences."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = tuple(reasons)
