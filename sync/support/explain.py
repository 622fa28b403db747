"""What a conflict means to people: what is at stake now, what to do next and where, what can be decided.

There is one `Guide` for each `Situation`. It is all that a new kind of conflict needs besides its maker in
`sync.causes`. Everything here is worked out from the ledger as it stands; nothing is asked or changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from connectors.api.side import EffectKind, Place
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from mappings.serials import mask
from sync.decisions import first_contact
from sync.decisions.causes import Situation, situation_of
from sync.decisions.resolutions import Action
from sync.decisions.status_and_expiry import allows_status
from sync.model import Card, ConflictKind, Hold, Intent, LinkRules, Presence
from sync.reconcile.brakes import BrakeLimits


@dataclass(frozen=True)
class Option:
    """One decision that can work as things stand."""

    action: Action
    #: What the person says with it and what follows, in one sentence.
    words: str
    #: For accept: whose word counts.
    side: str | None = None
    #: What has to be given besides: `amount` or `card`.
    needs: str = ""

    @property
    def command(self) -> str:
        """The words after `conflicts resolve ID`."""
        given = {"amount": " --amount AMOUNT", "card": " --card NUMBER"}.get(self.needs, "")
        return self.action.value + (f" --side {self.side}" if self.side else "") + given


@dataclass(frozen=True)
class SideView:
    """What one side says about the card, as far as the ledger knows now."""

    side: str
    #: The card by its last four, and where to find it.
    card: str
    where: str
    balance_minor: int
    status: str
    expires_on: date | None
    #: Why nothing is written there, in words; empty while all is well.
    trouble: str = ""


@dataclass(frozen=True)
class Case:
    """An open conflict with what the ledger knows of its card now."""

    id: int
    kind: ConflictKind
    cause: str
    side: str
    summary: str
    amount_minor: int
    currency: str
    proposal: str
    evidence: Mapping[str, object]
    card: Card | None
    rules: LinkRules
    today: date
    places: Mapping[str, Place] = field(default_factory=dict)
    limits: BrakeLimits = field(default_factory=BrakeLimits)

    @property
    def situation(self) -> Situation:
        return situation_of(self.kind, self.cause)

    def place(self, side: str) -> Place:
        return self.places.get(side) or Place(side, side)

    def money(self, minor: int) -> str:
        return format_money(minor, self.currency)

    @property
    def there(self) -> Presence | None:
        """The card on the side that the conflict is about."""
        return self.on(self.side)

    def on(self, side: str) -> Presence | None:
        found = () if self.card is None else self.card.presences
        return next((p for p in found if p.side == side), None)

    @property
    def born(self) -> tuple[Presence, ...]:
        """The sides that have the card."""
        return () if self.card is None else tuple(p for p in self.card.presences if p.born)

    @property
    def worth_minor(self) -> int:
        return 0 if self.card is None else self.card.balance_minor

    @property
    def owed_minor(self) -> int:
        """What the side shows too little (positive) or too much."""
        return self.worth_minor - (0 if self.there is None else self.there.shadow_minor)

    @property
    def ends_in(self) -> str:
        """The card by its last four."""
        p = self.there or next(iter(self.born), None)
        found = str(self.evidence.get("ends_in", "")) or ("" if p is None else p.last_chars)
        return mask(found) if found else "the card"

    def named(self, side: str) -> str:
        """`••••1234 in Shopify`."""
        p = self.on(side)
        ends = self.ends_in if p is None or not p.last_chars else mask(p.last_chars)
        return f"{ends} in {self.place(side).name}"

    def where(self, side: str) -> str:
        """Where to find the card on that side: the screen, and its address where there is one."""
        p = self.on(side)
        native_id = str(self.evidence.get("native_id", "")) if p is None else p.native_id or ""
        address = self.place(side).address(native_id) if native_id else ""
        screen = self.place(side).screen
        return f"{screen} ({address})" if address else screen

    @property
    def spot(self) -> str:
        """The card and where to find it: `••••1234 in Shopify Admin (its address)`."""
        p = self.there
        ends = self.ends_in if p is None or not p.last_chars else mask(p.last_chars)
        return f"{ends} in {self.where(self.side)}"

    @property
    def other_names(self) -> str:
        """The other sides that have the card, by name."""
        names = [self.place(p.side).name for p in self.born if p.side != self.side and p.hold is None]
        return " and ".join(names)


@dataclass(frozen=True)
class Guide:
    """What there is to say about one situation."""

    why: str
    done: Callable[[Case], str]
    #: The next deed, in words that name the card and the place.
    deed: Callable[[Case], str]
    options: Callable[[Case], Sequence[Option]]
    #: The money at stake now; what the conflict was opened with where nothing else is known.
    at_stake: Callable[[Case], int] = lambda case: case.amount_minor


@dataclass(frozen=True)
class Advice:
    """What a person is told about an open conflict. Amounts in minor units."""

    what: str
    why: str
    done: str
    deed: str
    at_stake_minor: int
    sides: tuple[SideView, ...]
    options: tuple[Option, ...]


def advise(case: Case) -> Advice:
    """All there is to say about the conflict as things stand."""
    guide = GUIDES[case.situation]
    return Advice(
        _what(case),
        guide.why,
        guide.done(case),
        guide.deed(case),
        guide.at_stake(case),
        tuple(_side_view(case, p) for p in (() if case.card is None else case.card.presences)),
        tuple(guide.options(case)),
    )


def options_for(case: Case) -> tuple[Option, ...]:
    """The decisions that can work."""
    return tuple(GUIDES[case.situation].options(case))


def _what(case: Case) -> str:
    """What happened; of balances that move on, what is shown now."""
    if case.situation is not Situation.FIRST_CONTACT or case.card is None:
        return case.summary
    shown = first_contact.values(case.card)
    return (
        "One number, two balances: "
        + ", ".join(f"{case.place(side).name} shows {case.money(minor)}" for side, minor in shown.items())
        + "."
    )


def _side_view(case: Case, p: Presence) -> SideView:
    name = case.place(p.side).name
    if not p.born:
        trouble = f"not in {name} yet"
    elif p.hold is not None:
        trouble = _HOLDS[p.hold].format(name=name)
    elif any(i.state.is_open for i in p.open_intents):
        trouble = "a change is under way"
    else:
        trouble = ""
    ends = mask(p.last_chars) if p.last_chars else ""
    return SideView(
        p.side, ends, case.where(p.side), p.shadow_minor, p.shadow_status.value, p.shadow_expires_on, trouble
    )


_HOLDS = {
    Hold.MISSING: "{name} says that it has no such card",
    Hold.UNREADABLE: "{name} answers what cannot be believed",
    Hold.STATUS: "{name} shows a status that giftsync does not know",
    Hold.CURRENCY: "{name} shows another currency",
    Hold.REFUSED: "{name} refused the last change",
}


# --- Decisions that many situations have --------------------------------------------------------------------


def _seen(words: str) -> Option:
    return Option(Action.ACKNOWLEDGE, words)


def _leave(words: str) -> Option:
    """For what stays as it is: to have seen it would only let it come back at the next look."""
    return Option(Action.IGNORE, f"{words}; giftsync does not ask again while it stays so")


def _retry(words: str) -> Option:
    return Option(Action.RETRY, words)


def _accept_balance(case: Case, p: Presence, value_minor: int) -> Option:
    follow = [
        f"{case.place(q.side).name} goes from {case.money(q.shadow_minor)} to {case.money(value_minor)}"
        for q in case.born
        if q.side != p.side and q.shadow_minor != value_minor and q.shadow_status is not CardStatus.CLOSED
    ]
    follows = f"; {', '.join(follow)}" if follow else ""
    words = f"{case.place(p.side).name} is right: the card is worth {case.money(value_minor)}{follows}"
    return Option(Action.ACCEPT, words, side=p.side)


def _others_take(case: Case, value_minor: int) -> bool:
    """Whether every other side can be brought to the balance."""
    for q in case.born:
        rules = case.rules.side(q.side)
        owed = value_minor - q.shadow_minor
        expired = q.shadow_expires_on is not None and q.shadow_expires_on < case.today
        spendable = (q.shadow_status is CardStatus.ACTIVE and not expired) or rules.moves_when_suspended
        allowed = rules.credits if owed > 0 else rules.debits
        if q.side != case.side and owed and not (allowed and spendable and q.hold is None):
            return False
    return True


def _accept_this_side(case: Case) -> list[Option]:
    """That the side in question is right, where the others can follow and something follows at all."""
    p = case.there
    if p is None or not p.born or not case.owed_minor or not _others_take(case, p.shadow_minor):
        return []
    return [_accept_balance(case, p, p.shadow_minor)]


def _value(case: Case) -> Option:
    return Option(Action.VALUE, "the card is worth another amount; every side is set to it", needs="amount")


def _link(case: Case) -> Option:
    name = case.place(case.side).name
    words = f"it has another number in {name} now; with one that nobody has, it is made there anew"
    return Option(Action.LINK, words, needs="card")


# --- First contact, overdraft -------------------------------------------------------------------------------


def _first_contact_options(case: Case) -> list[Option]:
    if case.card is None:
        return []
    shown = first_contact.values(case.card)
    by_name = sorted(case.born, key=lambda p: p.side)
    accepts = [_accept_balance(case, p, shown[p.side]) for p in by_name]
    return [*accepts, _value(case)]


def _sides(case: Case) -> list[str]:
    return sorted(p.side for p in case.born)


def _first_contact_stake(case: Case) -> int:
    shown = () if case.card is None else first_contact.values(case.card).values()
    return max(shown) - min(shown) if shown else case.amount_minor


# --- Status and expiry --------------------------------------------------------------------------------------


def _shown(case: Case) -> Mapping[str, str]:
    """What each side said when two changed the same thing."""
    shown = case.evidence.get("shown")
    return shown if isinstance(shown, dict) else {}


def _status_options(case: Case) -> list[Option]:
    """The status that was not taken, where a machine may still set it."""
    chosen = case.evidence.get("chosen")
    options = [_seen(f"{chosen} is right, and stays")]
    if case.card is None or case.card.status is CardStatus.CLOSED:
        return options
    return options + [
        Option(Action.ACCEPT, f"{case.place(side).name} is right: {status} everywhere", side=side)
        for side, status in _shown(case).items()
        if status not in (chosen, CardStatus.CLOSED.value) and _every_side_sets(case, CardStatus(status))
    ]


def _every_side_sets(case: Case, status: CardStatus) -> bool:
    return all(
        p.shadow_status is status or allows_status(case.rules.side(p.side), status)
        for p in case.born
        if p.shadow_status is not CardStatus.CLOSED
    )


def _expiry_options(case: Case) -> list[Option]:
    chosen = case.evidence.get("chosen")
    options = [_seen(f"{_until(chosen)} is right, and stays")]
    return options + [
        Option(Action.ACCEPT, f"{case.place(side).name} is right: {_until(day)} everywhere", side=side)
        for side, day in _shown(case).items()
        if day != chosen and all(case.rules.side(p.side).sets_expiry for p in case.born)
    ]


def _until(day: object) -> str:
    return "that it never expires" if day == "never" else f"that it expires on {day}"


def _closed_alone_options(case: Case) -> list[Option]:
    name, ends = case.place(case.side).name, case.money(case.worth_minor)
    close = f"{name} is right: the card is closed everywhere, for ever, and {ends} end with it"
    others = [p for p in case.born if p.side != case.side]
    options = [Option(Action.ACCEPT, close, side=case.side)] if _every_side_closes(case, others) else []
    goes_on = f"the card goes on in {case.other_names or 'the other places'} with {ends}, closed in {name}"
    return [_leave(goes_on), *options]


def _every_side_closes(case: Case, others: Sequence[Presence]) -> bool:
    return all(
        p.shadow_status is CardStatus.CLOSED or allows_status(case.rules.side(p.side), CardStatus.CLOSED)
        for p in others
    )


def _not_settable_options(case: Case) -> list[Option]:
    p, options = case.there, [_retry("it is set there now: look again")]
    takes_back = (
        p is not None
        and case.card is not None
        and CardStatus.CLOSED not in (case.card.status, p.shadow_status)
        and _every_side_sets(case, p.shadow_status)
    )
    if takes_back and p is not None:
        words = f"{case.place(p.side).name} is right: {p.shadow_status} everywhere"
        options.append(Option(Action.ACCEPT, words, side=p.side))
    return [*options, _leave("it stays different there")]


def _status_of_card(case: Case) -> str:
    return "" if case.card is None else case.card.status.value


# --- What a side does not take ------------------------------------------------------------------------------


def _not_writable_deed(case: Case) -> str:
    p, owed = case.there, case.owed_minor
    amount = case.money(abs(owed))
    ends, name = case.named(case.side), case.place(case.side).name
    hand = f"{'Load' if owed > 0 else 'Take'} {amount} {'onto' if owed > 0 else 'off'} {ends} by hand"
    if p is None or not owed:
        return f"Nothing is left to do: {ends} shows what it should; say retry."
    if p.shadow_status is not CardStatus.ACTIVE:
        first = f"Lift the suspension of {case.spot}"
    elif p.shadow_expires_on is not None and p.shadow_expires_on < case.today:
        first = f"Give {case.spot} a later expiry date (it expired on {p.shadow_expires_on})"
    elif case.evidence.get("allowed") is False:
        return f"{hand} in {case.where(case.side)}: the settings do not let giftsync write it there."
    else:
        first = f"Look at {case.spot}"
    does = f"{'loads' if owed > 0 else 'takes'} the {amount} {'onto' if owed > 0 else 'off'} it"
    return f"{first}; giftsync then {does} by itself. If {name} is right, say so: accept --side {case.side}."


def _refused_deed(case: Case) -> str:
    amount = case.money(abs(case.owed_minor))
    way = "loaded onto" if case.owed_minor > 0 else "taken off"
    why = str(case.evidence.get("refusal", "")).replace("_", " ")
    reason = f" ({why})" if why else ""
    return (
        f"Look at {case.spot}: {amount} should be {way} it and were refused{reason}. "
        "Put right what is wrong there, then say retry."
    )


def _over_limit_deed(case: Case) -> str:
    limit = case.evidence.get("limit_minor")
    name = case.place(case.side).name
    most = f" ({case.money(limit)} now)" if isinstance(limit, int) else ""
    return (
        f"Raise the limit for one gift card{most} in {case.place(case.side).screen}: {case.ends_in} is worth "
        f"{case.money(case.worth_minor)}, and giftsync then writes it in {name} by itself."
    )


# --- Gone, doubtful, twice ----------------------------------------------------------------------------------


def _missing_done(case: Case) -> str:
    name = case.place(case.side).name
    others = case.other_names
    if others:
        return f"Nothing is written in {name}; the card works in {others}."
    return f"Nothing is written in {name}, and no other side has the card either: it works nowhere."


def _missing_deed(case: Case) -> str:
    worth = case.money(case.worth_minor)
    screen = case.place(case.side).screen
    looked = f"Look in {screen} for {case.ends_in} with {worth} on it"
    return f"{looked}. If it was made anew there, say link with its number; if it is back, say retry."


def _intent_of(case: Case) -> Intent | None:
    marker = case.evidence.get("marker")
    found = () if case.card is None else case.card.open_intents
    return next((i for i in found if i.marker == marker), None)


def _doubt_words(case: Case) -> tuple[str, str, str]:
    """What was asked for, and what the card shows if it did or did not take effect."""
    p, intent = case.there, _intent_of(case)
    if p is None or intent is None:
        return "the request", "the change", "no change"
    if intent.kind is EffectKind.CREATE:
        made = case.money(intent.amount_minor)
        return f"making the card with {made}", f"a card with {made}", "no such card"
    if intent.amount_minor:
        verb = "putting {} on" if intent.amount_minor > 0 else "taking {} off"
        later = sum(i.amount_minor for i in p.open_intents if i.sequence > intent.sequence)
        landed = p.shadow_minor - later
        asked = verb.format(case.money(abs(intent.amount_minor)))
        return asked, case.money(landed), case.money(landed - intent.amount_minor)
    return f"setting {intent.kind.value.removeprefix('set_')}", "the new one", "the old one"


def _in_doubt_deed(case: Case) -> str:
    asked, landed, not_landed = _doubt_words(case)
    return (
        f"Look at {case.spot}: giftsync was {asked}. "
        f"If it shows {landed}, say landed; if it shows {not_landed}, say not_landed. "
        "If it shows something else, a customer used it as well: look in its history for the amount."
    )


def _mark_deed(case: Case) -> str:
    marker = case.evidence.get("marker", "gs-…")
    return (
        f"Open {case.spot} and take {marker} out of its note: it is "
        "another card's. giftsync sees that by itself within ten minutes, or at once with retry."
    )


def _new_card(case: Case) -> str:
    return f"{case.ends_in} in {case.place(case.side).name}"


def _two_cards_deed(case: Case) -> str:
    there, card_id = str(case.evidence.get("there", "")), case.evidence.get("card")
    return (
        f"{_new_card(case)} has the number that card {card_id} has in {case.place(there).name}: find out "
        "which of the "
        f"two the customer holds (`giftsync cards show {card_id}`), move the money to it and close the "
        "other one "
        f"in {case.where(case.side)}."
    )


# --- The whole link -----------------------------------------------------------------------------------------


def _brake_deed(case: Case) -> str:
    what = case.cause.split(":")
    if case.proposal:
        return case.proposal
    if what[1] == "card_money":
        return f"Look at the card: `giftsync cards show {what[-1]}`. If the amount is right, resume."
    if what[1] == "empty":
        screen = case.place(case.side).screen
        return (
            f"Check in {screen} that it is the right shop and that no cards were deleted; then resume. "
            "What it still "
            "lacks is then told of card by card."
        )
    return "Look at the cards that wait: `giftsync cards list --out-of-step`. If that is right, resume."


def _resume(case: Case) -> Option:
    return Option(Action.RESUME, "the link goes on, and what stopped it passes this once")


GUIDES: Mapping[Situation, Guide] = {
    Situation.FIRST_CONTACT: Guide(
        "The card was on both sides before giftsync was, with two different balances.",
        lambda case: "Nothing: the card is left alone everywhere until somebody says what it is worth.",
        lambda case: (
            f"Find out what is left on {case.ends_in} (its receipts, the customer), and say which balance is "
            "right: "
            f"{', '.join(f'accept --side {side}' for side in _sides(case))}, or value --amount."
        ),
        _first_contact_options,
        _first_contact_stake,
    ),
    Situation.OVERDRAFT: Guide(
        "The card was spent on both sides before either could know of the other.",
        lambda case: "The card was brought to zero on both sides, and the shortfall was written off.",
        lambda case: (
            f"Nothing has to be done for {case.ends_in}. Note who bears the "
            f"{case.money(case.amount_minor)}: say acknowledge or write_off with your reason."
        ),
        lambda case: [
            _seen("you know of it; nothing more follows"),
            Option(Action.WRITE_OFF, "the merchant bears what is at stake; nothing more follows"),
        ],
    ),
    Situation.STATUS_DIFFERS: Guide(
        "The status was changed in two places, to two different ones.",
        lambda case: (
            f"The stricter one was taken: the card is {case.evidence.get('chosen', _status_of_card(case))}"
            + (f", and {case.money(case.amount_minor)} ended with it." if case.amount_minor else ".")
        ),
        lambda case: (
            "A closed card is never opened again. If the customer should have the "
            f"{case.money(case.amount_minor)}, "
            "give them a new card with that amount; then say acknowledge."
            if case.amount_minor
            else f"If {case.evidence.get('chosen', _status_of_card(case))} is right for {case.ends_in}, say "
            "acknowledge. If not, set its status where it is wrong, and giftsync carries it over."
        ),
        _status_options,
    ),
    Situation.STATUS_UNKNOWN: Guide(
        "A side shows a status that giftsync does not know, so it cannot tell whether the card may be used.",
        lambda case: f"Nothing is written in {case.place(case.side).name} for this card.",
        lambda case: (
            f"Set {case.named(case.side)} to an ordinary status (it is "
            f"{case.evidence.get('shown', 'unknown')} now) in {case.where(case.side)}; then say retry."
        ),
        lambda case: [_retry("it has an ordinary status now: look again"), _leave("it stays as it is")],
        lambda case: case.worth_minor,
    ),
    Situation.STATUS_NOT_SETTABLE: Guide(
        "A side does not let giftsync set the status that the card has.",
        lambda case: f"The status was set everywhere but in {case.place(case.side).name}.",
        lambda case: (
            f"Set {case.named(case.side)} to {_status_of_card(case)} in {case.where(case.side)}; "
            "then say retry."
        ),
        _not_settable_options,
        lambda case: 0 if case.there is None else abs(case.there.shadow_minor),
    ),
    Situation.CLOSED_ALONE: Guide(
        "One side closed the card for good, which cannot be taken back there, and it still holds money.",
        lambda case: f"Nothing was closed elsewhere: {case.money(case.worth_minor)} are still on the card.",
        lambda case: (
            f"Ask who closed {case.named(case.side)} and why. If the money is to end, say accept --side "
            f"{case.side}; if the customer keeps it, say ignore: the card goes on in "
            f"{case.other_names or 'the rest'}."
        ),
        _closed_alone_options,
        lambda case: case.worth_minor,
    ),
    Situation.EXPIRY: Guide(
        "The expiry date was changed in two places, to two different dates.",
        lambda case: f"The earlier one was taken: {_until(case.evidence.get('chosen', ''))}.",
        lambda case: (
            f"Ask who changed the date of {case.ends_in}. Say acknowledge if the earlier one is right, or "
            "accept the other one."
        ),
        _expiry_options,
        lambda case: case.worth_minor,
    ),
    Situation.SERIAL: Guide(
        "A side cannot hold the card's number, or another card has it there.",
        lambda case: (
            f"Nothing was written in {case.place(case.side).name}; the card works in "
            f"{case.other_names or 'no other place'}."
        ),
        lambda case: (
            f"Give {case.ends_in} a number that {case.place(case.side).name} takes: say link with that "
            "number, and the card is made there under it. Or give the customer another card."
        ),
        lambda case: [
            _link(case),
            *([_retry("the number is free there now: look again")] if case.there is not None else []),
            _leave(f"the card stays out of {case.place(case.side).name}"),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.CURRENCY: Guide(
        "The card is in another currency on one side.",
        lambda case: "Nothing: amounts are never converted.",
        lambda case: (
            f"Close {case.spot} and make it anew in "
            f"{case.currency or 'the currency of the link'}; then say retry."
        ),
        lambda case: [_retry("the currency is right now: look again"), _leave("it stays different there")],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_CURRENCY: Guide(
        "A new card is in another currency than the link.",
        lambda case: "Nothing: it is left alone, and amounts are never converted.",
        lambda case: (
            f"Close {case.spot} and give the customer one in the currency of the link; then say ignore."
        ),
        lambda case: [_leave("the card stays out of giftsync"), _retry("it was changed: look again now")],
    ),
    Situation.OVER_LIMIT: Guide(
        "A side allows less money on one card than is on this one.",
        lambda case: "Nothing was written there; the other side stays as it is.",
        _over_limit_deed,
        lambda case: [
            _retry("the limit was raised: look again"),
            *_accept_this_side(case),
            _value(case),
            _leave("it stays different there"),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.MISSING: Guide(
        "A side says that it has no such card, and it had one.",
        _missing_done,
        _missing_deed,
        lambda case: [_link(case), _retry("it is back: look again"), _leave("it stays away")],
        lambda case: case.worth_minor,
    ),
    Situation.UNREADABLE: Guide(
        "A side answers for the card, and what it says cannot be: a balance below zero, a part of the "
        "smallest unit, or a card that needs a code nobody gave.",
        lambda case: (
            f"Nothing is written in {case.place(case.side).name}, and what it says is no balance to giftsync."
        ),
        lambda case: f"Look at {case.spot} and mend it there; this closes by itself when it can be read.",
        lambda case: [_retry("it is mended: look again now"), _leave("it stays as it is there")],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_UNREADABLE: Guide(
        "A side tells of a new card, and what it says of it cannot be believed.",
        lambda case: "Nothing: the card is left alone until it can be read.",
        lambda case: f"Look at {case.spot} and mend it there; this closes by itself when it can be read.",
        lambda case: [_retry("it is mended: look again now"), _leave("the card stays out of giftsync")],
    ),
    Situation.LANDED_TWICE: Guide(
        "One request of giftsync's took effect twice, because its answer was lost.",
        lambda case: f"giftsync undoes the second time in {case.place(case.side).name} by itself.",
        lambda case: f"Nothing has to be done for {case.ends_in}; say acknowledge.",
        lambda case: [_seen("you know of it; nothing more follows")],
    ),
    Situation.MARK_COPIED: Guide(
        "Somebody copied a note of giftsync's onto this card by hand.",
        lambda case: "What the note stands on counts as a customer's own doing.",
        _mark_deed,
        lambda case: [
            _leave("the note stays as it is"),
            _retry("the mark was taken out: look again now"),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_WITH_MARK: Guide(
        "A new card has a note that was copied from a card of giftsync's, so it may be that one made twice.",
        lambda case: "Nothing: the card is left alone, so that it is not made a second time elsewhere.",
        _mark_deed,
        lambda case: [
            _retry("the mark was taken out: look again now"),
            _leave("the card stays out of giftsync"),
        ],
    ),
    Situation.OTHER_LEDGER: Guide(
        "A card was made by a giftsync that keeps another ledger than this one.",
        lambda case: "Nothing: the card is left alone, so that it is not made a second time elsewhere.",
        lambda case: (
            f"Find the other giftsync that writes in {case.place(case.side).name} and stop it, or put "
            "back the "
            f"ledger that {case.spot} is in. To leave this card out of giftsync, say ignore."
        ),
        lambda case: [_leave("the card stays out of giftsync")],
    ),
    Situation.TWO_CARDS: Guide(
        "A new card has, on another side, the number of a card that giftsync knows already.",
        lambda case: "Nothing: both cards are left alone.",
        _two_cards_deed,
        lambda case: [
            _retry("one of the two is closed: look again now"),
            _leave("the new card stays out of giftsync"),
        ],
    ),
    Situation.MAY_BE_STORE_CARD: Guide(
        "A card was made online without an order, and its code looks like a number of the store.",
        lambda case: "Nothing: a second number would give its owner the money twice.",
        lambda case: (
            f"Look at {case.spot}. If it is a copy of a store card, deactivate it there: the store card "
            "is then "
            "made online by giftsync. If it is a card of its own, say acknowledge."
        ),
        lambda case: [
            _seen("it is a card of its own, and gets a number for the store"),
            _retry("it is deactivated now: look again"),
            _leave("the card stays out of giftsync"),
        ],
    ),
    Situation.ASSIGNED_TWICE: Guide(
        "The physical card was sold to somebody else while it was being given to an online order.",
        lambda case: "The money was taken off the online card and waits for another physical one.",
        lambda case: (
            "Take another physical card and give `giftsync cards assign` again with its number; the "
            f"money of card {case.evidence.get('card', '')} goes onto it."
        ),
        lambda case: [_seen("another card was given")],
    ),
    Situation.IN_DOUBT: Guide(
        "The answer to a request was lost, and the side cannot say whether it took effect.",
        lambda case: "The request is not sent again, and nothing else is written to that side for this card.",
        _in_doubt_deed,
        lambda case: [
            Option(Action.LANDED, f"you looked: it took effect ({_doubt_words(case)[1]} there)"),
            Option(
                Action.NOT_LANDED,
                f"you looked: it did not ({_doubt_words(case)[2]} there); it is sent again",
            ),
        ],
    ),
    Situation.REFUSED: Guide(
        "A side said no to a change, and the card as it shows does not explain why.",
        lambda case: "The change was taken back, and nothing else is tried.",
        _refused_deed,
        lambda case: [
            _retry("what was wrong is mended: look again, and write what is owed"),
            *_accept_this_side(case),
            _value(case),
            _leave("it stays different there"),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.NOT_WRITABLE: Guide(
        "Money moved on one side, and the other side's card takes none now.",
        lambda case: "Nothing yet: it is written as soon as that side's card takes it.",
        _not_writable_deed,
        lambda case: [
            _retry("its card takes money now: look again"),
            *_accept_this_side(case),
            _leave("it stays different there"),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.NOTIFICATION: Guide(
        "The buyer of a new card was to be told of it, and was not, or nobody knows whether they were.",
        lambda case: (
            "Nothing is sent again by itself: a second message is worse than none. The card works everywhere."
        ),
        lambda case: (
            f"Tell the buyer of {case.ends_in} yourself and say acknowledge; or say retry, and "
            f"{case.place(case.side).name} sends the message, perhaps for the second time."
        ),
        lambda case: [
            _seen("the buyer knows; how they are reached is forgotten"),
            _retry("send the message; if it did go out, they get it twice"),
            _leave("the buyer is not told"),
        ],
    ),
    Situation.POOL_EMPTY: Guide(
        "Cards are being bought online, and no store numbers are left for them.",
        lambda case: "The cards wait; they can be spent online.",
        lambda case: (
            f"Add numbers for {case.place(case.side).name} with `giftsync pool add FILE`, or set "
            "shopify_serial_prefix; the cards that wait are then made by themselves."
        ),
        lambda case: [_leave("cards that are bought online stay online until there are numbers")],
    ),
    Situation.LEDGER_BEHIND: Guide(
        "The ledger was put back to an earlier state. What giftsync did since was read back from the sides; "
        "for some cards customers alone do not explain it, so a person's decision may have been lost.",
        lambda case: "Nothing is written to these cards. All others are in step.",
        lambda case: (
            "Say for each of these cards what it is worth with `giftsync recover`; the conflict closes by "
            "itself with the last of them."
        ),
        lambda case: [_seen("you know of it; the cards still wait for `giftsync recover`")],
    ),
    Situation.SECOND_LEDGER: Guide(
        "A side shows changes that giftsync made, and this ledger did not make them: a second giftsync is at "
        "work, or this ledger was put back while it ran.",
        lambda case: "The link has stopped: two that mirror each other would move money for ever.",
        lambda case: case.proposal or "Find the other giftsync and stop it; then resume.",
        lambda case: [Option(Action.RESUME, "the other one is gone: the link goes on")],
    ),
    Situation.BRAKE: Guide(
        "More was about to change than the settings allow.",
        lambda case: "The link has stopped: nothing is written until it is resumed.",
        _brake_deed,
        lambda case: [_resume(case)],
    ),
}
