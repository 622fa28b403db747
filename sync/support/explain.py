"""What a conflict means to people: what is at stake now, what to do next and where, what can be decided.

There is one `Guide` for each `Situation`. It is all that a new kind of conflict needs besides its maker in
`sync.causes`. Everything here is worked out from the ledger as it stands; nothing is asked or changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from connectors.api.capabilities import Place
from connectors.api.effect import EffectKind
from mappings.lifecycle import CardStatus
from mappings.sentences import Money, Sentence, both, in_a_row, marked, renamed, say
from mappings.serials import mask
from sync.decisions import first_contact
from sync.decisions.causes import Situation, situation_of
from sync.decisions.resolutions import Action
from sync.decisions.status_and_expiry import allows_status
from sync.decisions.words import kind_words, refusal_words, status_words
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

    def money(self, minor: int) -> Money:
        return Money(minor, self.currency)

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
        return mask(found) if found else say("the card")

    def named(self, side: str) -> str:
        """`••••1234 in the shop`."""
        p = self.on(side)
        ends = self.ends_in if p is None or not p.last_chars else mask(p.last_chars)
        return say("{ends} in {place}", ends=ends, place=self.place(side).name)

    def where(self, side: str) -> str:
        """Where to find the card on that side: the screen, and its address where there is one."""
        p = self.on(side)
        native_id = str(self.evidence.get("native_id", "")) if p is None else p.native_id or ""
        address = self.place(side).address(native_id) if native_id else ""
        screen = self.place(side).screen
        return say("{screen} ({address})", screen=screen, address=address) if address else screen

    @property
    def spot(self) -> str:
        """The card and where to find it: `••••1234 in the shop's back office (its address)`."""
        p = self.there
        ends = self.ends_in if p is None or not p.last_chars else mask(p.last_chars)
        return say("{ends} in {where}", ends=ends, where=self.where(self.side))

    @property
    def other_names(self) -> str:
        """The other sides that have the card, by name."""
        names = [self.place(p.side).name for p in self.born if p.side != self.side and p.hold is None]
        return both(names)


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
        return happened(case)
    shown = first_contact.values(case.card)
    shows = in_a_row(
        (
            say("{place} shows {amount}", place=case.place(side).name, amount=case.money(minor))
            for side, minor in shown.items()
        ),
        ", ",
    )
    return say("One number, two balances: {shows}.", shows=shows)


def happened(case: Case) -> str:
    """What happened, with the sides as people call them."""
    if isinstance(case.summary, Sentence):
        return renamed(case.summary, lambda side: case.place(side).name)
    words = case.summary
    for side, place in case.places.items():
        words = re.sub(rf"\b{re.escape(side)}\b", lambda _, name=place.name: name, words)  # type: ignore[misc]
    return words


def _side_view(case: Case, p: Presence) -> SideView:
    name, trouble = case.place(p.side).name, ""
    if not p.born:
        trouble = say("not in {name} yet", name=name)
    elif p.hold is not None:
        trouble = Sentence(_HOLDS[p.hold], {"name": name})
    elif any(i.state.is_open for i in p.open_intents):
        trouble = say("a change is under way")
    ends = mask(p.last_chars) if p.last_chars else ""
    return SideView(
        p.side, ends, case.where(p.side), p.shadow_minor, p.shadow_status.value, p.shadow_expires_on, trouble
    )


#: Beside what a side showed last; all but a refusal keep it from showing anything now.
_HOLDS = {
    Hold.MISSING: marked("{name} says that it has no such card; this was there before"),
    Hold.UNREADABLE: marked("{name} answers what cannot be believed; this was there before"),
    Hold.STATUS: marked("{name} shows a status that giftsync does not know; this was there before"),
    Hold.CURRENCY: marked("{name} shows another currency; this was there before"),
    Hold.REFUSED: marked("{name} refused the last change"),
    Hold.OTHER_CARD: marked("{name} shows another number under its id; this was there before"),
}


# --- Decisions that many situations have --------------------------------------------------------------------


def _seen(words: str) -> Option:
    return Option(Action.ACKNOWLEDGE, words)


def _leave(words: str) -> Option:
    """For what stays as it is: to have seen it would only let it come back at the next look."""
    return Option(Action.IGNORE, say("{words}; giftsync does not ask again while it stays so", words=words))


def _retry(words: str) -> Option:
    return Option(Action.RETRY, words)


def _accept_balance(case: Case, p: Presence, value_minor: int) -> Option:
    follow = [
        say(
            "{place} goes from {amount} to {amount2}",
            place=case.place(q.side).name,
            amount=case.money(q.shadow_minor),
            amount2=case.money(value_minor),
        )
        for q in case.born
        if q.side != p.side and q.shadow_minor != value_minor and q.shadow_status is not CardStatus.CLOSED
    ]
    follows = say("; {changes}", changes=in_a_row(follow, ", ")) if follow else ""
    words = say(
        "{place} is right: the card is worth {amount}{follows}",
        place=case.place(p.side).name,
        amount=case.money(value_minor),
        follows=follows,
    )
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
    return Option(
        Action.VALUE, say("the card is worth another amount; every side is set to it"), needs="amount"
    )


def _link(case: Case) -> Option:
    name = case.place(case.side).name
    words = say(
        "it has another number in {name} now; with one that nobody has, it is made there anew", name=name
    )
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
    options = [_seen(say("{chosen} is right, and stays", chosen=_chosen(case)))]
    if case.card is None or case.card.status is CardStatus.CLOSED:
        return options
    return options + [
        Option(
            Action.ACCEPT,
            say(
                "{place} is right: {status} everywhere",
                place=case.place(side).name,
                status=status_words(status),
            ),
            side=side,
        )
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
    options = [_seen(say("{until} is right, and stays", until=_until(chosen)))]
    return options + [
        Option(
            Action.ACCEPT,
            say("{place} is right: {until} everywhere", place=case.place(side).name, until=_until(day)),
            side=side,
        )
        for side, day in _shown(case).items()
        if day != chosen and all(case.rules.side(p.side).sets_expiry for p in case.born)
    ]


def _until(day: object) -> str:
    if day == "never":
        return say("that it never expires")
    return say("that it expires on {day}", day=date.fromisoformat(str(day)) if day else "")


def _closed_alone_options(case: Case) -> list[Option]:
    name, ends = case.place(case.side).name, case.money(case.worth_minor)
    close = say(
        "{name} is right: the card is closed everywhere, for ever, and {ends} end with it",
        name=name,
        ends=ends,
    )
    others = [p for p in case.born if p.side != case.side]
    options = [Option(Action.ACCEPT, close, side=case.side)] if _every_side_closes(case, others) else []
    goes_on = say(
        "the card goes on in {which} with {ends}, closed in {name}",
        which=case.other_names or say("the other places"),
        ends=ends,
        name=name,
    )
    return [_leave(goes_on), *options]


def _every_side_closes(case: Case, others: Sequence[Presence]) -> bool:
    return all(
        p.shadow_status is CardStatus.CLOSED or allows_status(case.rules.side(p.side), CardStatus.CLOSED)
        for p in others
    )


def _not_settable_options(case: Case) -> list[Option]:
    p, options = case.there, [_retry(say("it is set there now: look again"))]
    takes_back = (
        p is not None
        and case.card is not None
        and CardStatus.CLOSED not in (case.card.status, p.shadow_status)
        and _every_side_sets(case, p.shadow_status)
    )
    if takes_back and p is not None:
        words = say(
            "{place} is right: {shadow_status} everywhere",
            place=case.place(p.side).name,
            shadow_status=p.shadow_status,
        )
        options.append(Option(Action.ACCEPT, words, side=p.side))
    return [*options, _leave(say("it stays different there"))]


def _status_of_card(case: Case) -> object:
    return "" if case.card is None else case.card.status


def _chosen(case: Case) -> object:
    """The status that was taken, where two sides changed it differently."""
    return status_words(str(case.evidence.get("chosen", ""))) or _status_of_card(case)


# --- What a side does not take ------------------------------------------------------------------------------


def _not_writable_deed(case: Case) -> str:
    p, owed = case.there, case.owed_minor
    amount = case.money(abs(owed))
    ends, name = case.named(case.side), case.place(case.side).name
    hand = (
        say("Load {amount} onto {ends} by hand", amount=amount, ends=ends)
        if owed > 0
        else say("Take {amount} off {ends} by hand", amount=amount, ends=ends)
    )
    if p is None or not owed:
        return say("Nothing is left to do: {ends} shows what it should; say retry.", ends=ends)
    if p.shadow_status is not CardStatus.ACTIVE:
        first = say("Lift the suspension of {spot}", spot=case.spot)
    elif p.shadow_expires_on is not None and p.shadow_expires_on < case.today:
        first = say(
            "Give {spot} a later expiry date (it expired on {shadow_expires_on})",
            spot=case.spot,
            shadow_expires_on=p.shadow_expires_on,
        )
    elif case.evidence.get("allowed") is False:
        return say(
            "{hand} in {where}: the settings do not let giftsync write it there.",
            hand=hand,
            where=case.where(case.side),
        )
    else:
        first = say("Look at {spot}", spot=case.spot)
    does = say("loads the {amount} onto it", amount=amount)
    if owed < 0:
        does = say("takes the {amount} off it", amount=amount)
    return say(
        "{first}; giftsync then {does} by itself. If {name} is right, say so: accept --side {side}.",
        first=first,
        does=does,
        name=name,
        side=case.side,
    )


def _refused_deed(case: Case) -> str:
    amount = case.money(abs(case.owed_minor))
    way = say("loaded onto") if case.owed_minor > 0 else say("taken off")
    why = refusal_words(str(case.evidence.get("refusal", "")))
    reason = say(" ({why})", why=why) if why else ""
    return say(
        "Look at {spot}: {amount} should be {way} it and were refused{reason}. Put "
        "right what is wrong there, then say retry.",
        spot=case.spot,
        amount=amount,
        way=way,
        reason=reason,
    )


def _over_limit_deed(case: Case) -> str:
    limit = case.evidence.get("limit_minor")
    name = case.place(case.side).name
    most = say(" ({amount} now)", amount=case.money(limit)) if isinstance(limit, int) else ""
    return say(
        "Raise the limit for one gift card{most} in {screen}: {card} is worth "
        "{amount}, and giftsync then writes it in {name} by itself.",
        most=most,
        screen=case.place(case.side).screen,
        card=case.ends_in,
        amount=case.money(case.worth_minor),
        name=name,
    )


# --- Gone, doubtful, twice ----------------------------------------------------------------------------------


def _missing_done(case: Case) -> str:
    name = case.place(case.side).name
    others = case.other_names
    if others:
        return say("Nothing is written in {name}; the card works in {others}.", name=name, others=others)
    return say(
        "Nothing is written in {name}, and no other side has the card either: it works nowhere.", name=name
    )


def _missing_deed(case: Case) -> str:
    worth = case.money(case.worth_minor)
    screen = case.place(case.side).screen
    looked = say(
        "Look in {screen} for {card} with {worth} on it", screen=screen, card=case.ends_in, worth=worth
    )
    return say(
        "{looked}. If it was made anew there, say link with its number; if it is back, say retry.",
        looked=looked,
    )


def _intent_of(case: Case) -> Intent | None:
    marker = case.evidence.get("marker")
    found = () if case.card is None else case.card.open_intents
    return next((i for i in found if i.marker == marker), None)


def _doubt_words(case: Case) -> tuple[object, object, object]:
    """What was asked for, and what the card shows if it did or did not take effect."""
    p, intent = case.there, _intent_of(case)
    if p is None or intent is None:
        return say("the request"), say("the change"), say("no change")
    if intent.kind is EffectKind.CREATE:
        made = case.money(intent.amount_minor)
        return (
            say("making the card with {made}", made=made),
            say("a card with {made}", made=made),
            say("no such card"),
        )
    if intent.amount_minor:
        later = sum(i.amount_minor for i in p.open_intents if i.sequence > intent.sequence)
        landed = p.shadow_minor - later
        amount = case.money(abs(intent.amount_minor))
        asked = (
            say("putting {amount} on", amount=amount)
            if intent.amount_minor > 0
            else say("taking {amount} off", amount=amount)
        )
        return asked, case.money(landed), case.money(landed - intent.amount_minor)
    return (
        say("setting {what}", what=kind_words(intent.kind.value.removeprefix("set_"))),
        say("the new one"),
        say("the old one"),
    )


def _in_doubt_deed(case: Case) -> str:
    asked, landed, not_landed = _doubt_words(case)
    return say(
        "Look at {spot}: giftsync was {asked}. If it shows {landed}, say landed; if it "
        "shows {not_landed}, say not_landed. If it shows something else, a customer "
        "used it as well: look in its history for the amount.",
        spot=case.spot,
        asked=asked,
        landed=landed,
        not_landed=not_landed,
    )


def _mark_deed(case: Case) -> str:
    marker = case.evidence.get("marker", "gs-…")
    return say(
        "Open {spot} and take {marker} out of its note: it is another card's. giftsync "
        "sees that by itself within ten minutes, or at once with retry.",
        spot=case.spot,
        marker=marker,
    )


def _new_card(case: Case) -> str:
    return say("{card} in {place}", card=case.ends_in, place=case.place(case.side).name)


def _two_cards_deed(case: Case) -> str:
    there, card_id = str(case.evidence.get("there", "")), case.evidence.get("card")
    return say(
        "{new_card} has the number that card {card_id} has in {place}: find out which "
        "of the two the customer holds (`giftsync cards show {card_id}`), move the "
        "money to it and close the other one in {where}.",
        new_card=_new_card(case),
        card_id=card_id,
        place=case.place(there).name,
        where=case.where(case.side),
    )


# --- The ledger's own rows ----------------------------------------------------------------------------------


def _history_deed(case: Case) -> str:
    return say(
        "Find out who changed the database, and put the rows of {card} back from a backup, then say "
        "retry. Without a backup say ignore: `giftsync audit` goes on naming the rows.",
        card=case.ends_in,
    )


def _gone_deed(case: Case) -> str:
    return say(
        "Find out who changed the database, and put the row of {card} back from a backup; the "
        "conflict closes by itself at the next pass or within a day. Without a backup: look at the card on "
        "every side, close it there, give the customer a new one with what it was worth, and say ignore.",
        card=case.ends_in,
    )


def _tampered_deed(case: Case) -> str:
    worth, why_not = case.evidence.get("history_minor"), case.evidence.get("not_rebuilt")
    back = say("put the rows back from a backup, then say retry")
    if case.card is not None:
        return say("The rows of {card} are again as giftsync wrote them; say retry.", card=case.ends_in)
    if why_not:
        return say(
            "Find out who changed the database, and {back} ({card}: {why_not}). Without a "
            "backup: look at the card on every side, close it there, give the customer a "
            "new card with what it was worth, and say ignore.",
            back=back,
            card=case.ends_in,
            why_not=why_not,
        )
    if isinstance(worth, int):
        return say(
            "Find out who changed the database. The history of {card} proves that it is "
            "worth {amount}: say rebuild; or {back}.",
            card=case.ends_in,
            amount=case.money(worth),
            back=back,
        )
    return say(
        "Find out who changed the database. The history of {card} was changed, too: "
        "look at it on every side and say with value --amount what it is worth; or "
        "{back}.",
        card=case.ends_in,
        back=back,
    )


def _tampered_options(case: Case) -> list[Option]:
    worth = case.evidence.get("history_minor")
    again = _retry(say("the rows were put back as they were: check them again"))
    if case.card is not None:
        return [again]
    if case.evidence.get("not_rebuilt"):
        words = say(
            "the card was closed on every side by hand and made up for; giftsync leaves it alone from now on"
        )
        return [again, Option(Action.IGNORE, words)]
    value = Option(
        Action.VALUE,
        say("the card is worth this amount; every side is read now and set to it"),
        needs="amount",
    )
    if not isinstance(worth, int):
        return [value, again]
    words = say(
        "the card becomes again what its history says, {amount}; every side is looked "
        "at first, and what customers did meanwhile counts",
        amount=case.money(worth),
    )
    return [Option(Action.REBUILD, words), value, again]


# --- The whole link -----------------------------------------------------------------------------------------


def _brake_deed(case: Case) -> str:
    what = case.cause.split(":")
    if case.proposal:
        return case.proposal
    if what[1] == "card_money":
        return say(
            "Look at the card: `giftsync cards show {given}`. If the amount is right, resume.", given=what[-1]
        )
    if what[1] == "empty":
        screen = case.place(case.side).screen
        return say(
            "Check in {screen} that it is the right shop and that no cards were deleted; "
            "then resume. What it still lacks is then told of card by card.",
            screen=screen,
        )
    return say("Look at the cards that wait: `giftsync cards list --out-of-step`. If that is right, resume.")


def _resume(case: Case) -> Option:
    return Option(Action.RESUME, say("the link goes on, and what stopped it passes this once"))


def _left_alone(case: Case) -> Sentence:
    return say("Nothing: the card is left alone everywhere until somebody says what it is worth.")


def _accept_any(case: Case) -> Sentence:
    return in_a_row((f"accept --side {side}" for side in _sides(case)), ", ")


GUIDES: Mapping[Situation, Guide] = {
    Situation.FIRST_CONTACT: Guide(
        say("The card was on several sides before giftsync was, with different balances."),
        _left_alone,
        lambda case: say(
            "Find out what is left on {card} (its receipts, the customer), and say which "
            "balance is right: {join}, or value --amount.",
            card=case.ends_in,
            join=_accept_any(case),
        ),
        _first_contact_options,
        _first_contact_stake,
    ),
    Situation.DONE_OTHERWISE: Guide(
        say(
            "The system there did not do what giftsync asked for, or has lost it since, as one does that is "
            "put back from a backup. No customer did this, so nothing of it counts as a payment or a load."
        ),
        _left_alone,
        lambda case: say(
            "Find out why: if it happens to other cards too, pause the link (`giftsync pause`). Then say "
            "which balance of {card} is right: {join}, or value --amount. The other sides follow.",
            card=case.ends_in,
            join=_accept_any(case),
        ),
        _first_contact_options,
        _first_contact_stake,
    ),
    Situation.OVERDRAFT: Guide(
        say("The card was spent on several sides before one could know of the other."),
        lambda case: say("The card was brought to zero on every side, and the shortfall was written off."),
        lambda case: say(
            "Nothing has to be done for {card}. Note who bears the {amount}: say "
            "acknowledge or write_off with your reason.",
            card=case.ends_in,
            amount=case.money(case.amount_minor),
        ),
        lambda case: [
            _seen(say("you know of it; nothing more follows")),
            Option(Action.WRITE_OFF, say("the merchant bears what is at stake; nothing more follows")),
        ],
    ),
    Situation.STATUS_DIFFERS: Guide(
        say("The status was changed in two places, to two different ones."),
        lambda case: (
            say(
                "The stricter one was taken: the card is {chosen}, and {amount} ended with it.",
                chosen=_chosen(case),
                amount=case.money(case.amount_minor),
            )
            if case.amount_minor
            else say("The stricter one was taken: the card is {chosen}.", chosen=_chosen(case))
        ),
        lambda case: (
            say(
                "A closed card is never opened again. If the customer should have the "
                "{amount}, give them a new card with that amount; then say acknowledge.",
                amount=case.money(case.amount_minor),
            )
            if case.amount_minor
            else say(
                "If {chosen} is right for {card}, say acknowledge. If not, set its status "
                "where it is wrong, and giftsync carries it over.",
                chosen=_chosen(case),
                card=case.ends_in,
            )
        ),
        _status_options,
    ),
    Situation.STATUS_UNKNOWN: Guide(
        say(
            "A side shows a status that giftsync does not know, so it cannot tell whether "
            "the card may be used."
        ),
        lambda case: say("Nothing is written in {place} for this card.", place=case.place(case.side).name),
        lambda case: say(
            "Set {card} to an ordinary status (it is {shown} now) in {where}; then say retry.",
            card=case.named(case.side),
            shown=case.evidence.get("shown", "unknown"),
            where=case.where(case.side),
        ),
        lambda case: [
            _retry(say("it has an ordinary status now: look again")),
            _leave(say("it stays as it is")),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.STATUS_NOT_SETTABLE: Guide(
        say("A side does not let giftsync set the status that the card has."),
        lambda case: say("The status was set everywhere but in {place}.", place=case.place(case.side).name),
        lambda case: say(
            "Set {card} to {status_of_card} in {where}; then say retry.",
            card=case.named(case.side),
            status_of_card=_status_of_card(case),
            where=case.where(case.side),
        ),
        _not_settable_options,
        lambda case: 0 if case.there is None else abs(case.there.shadow_minor),
    ),
    Situation.CLOSED_ALONE: Guide(
        say("One side closed the card for good, which cannot be taken back there, and it still holds money."),
        lambda case: say(
            "Nothing was closed elsewhere: {amount} are still on the card.",
            amount=case.money(case.worth_minor),
        ),
        lambda case: say(
            "Ask who closed {card} and why. If the money is to end, say accept --side "
            "{side}; if the customer keeps it, say ignore: the card goes on in {which}.",
            card=case.named(case.side),
            side=case.side,
            which=case.other_names or say("the rest"),
        ),
        _closed_alone_options,
        lambda case: case.worth_minor,
    ),
    Situation.EXPIRY: Guide(
        say("The expiry date was changed in two places, to two different dates."),
        lambda case: say(
            "The earlier one was taken: {until}.", until=_until(case.evidence.get("chosen", ""))
        ),
        lambda case: say(
            "Ask who changed the date of {card}. Say acknowledge if the earlier one is "
            "right, or accept the other one.",
            card=case.ends_in,
        ),
        _expiry_options,
        lambda case: case.worth_minor,
    ),
    Situation.SERIAL: Guide(
        say("A side cannot hold the card's number, or another card has it there."),
        lambda case: say(
            "Nothing was written in {place}; the card works in {which}.",
            place=case.place(case.side).name,
            which=case.other_names or say("no other place"),
        ),
        lambda case: say(
            "Give {card} a number that {place} takes: say link with that number, and the "
            "card is made there under it. Or give the customer another card.",
            card=case.ends_in,
            place=case.place(case.side).name,
        ),
        lambda case: [
            _link(case),
            *([_retry(say("the number is free there now: look again"))] if case.there is not None else []),
            _leave(say("the card stays out of {place}", place=case.place(case.side).name)),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.CURRENCY: Guide(
        say("The card is in another currency on one side."),
        lambda case: say("Nothing: amounts are never converted."),
        lambda case: say(
            "Close {spot} and make it anew in {which}; then say retry.",
            spot=case.spot,
            which=case.currency or say("the currency of the link"),
        ),
        lambda case: [
            _retry(say("the currency is right now: look again")),
            _leave(say("it stays different there")),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_CURRENCY: Guide(
        say("A new card is in another currency than the link."),
        lambda case: say("Nothing: it is left alone, and amounts are never converted."),
        lambda case: say(
            "Close {spot} and give the customer one in the currency of the link; then say ignore.",
            spot=case.spot,
        ),
        lambda case: [
            _leave(say("the card stays out of giftsync")),
            _retry(say("it was changed: look again now")),
        ],
    ),
    Situation.OVER_LIMIT: Guide(
        say("A side allows less money on one card than is on this one."),
        lambda case: say("Nothing was written there; the other sides stay as they are."),
        _over_limit_deed,
        lambda case: [
            _retry(say("the limit was raised: look again")),
            *_accept_this_side(case),
            _value(case),
            _leave(say("it stays different there")),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.MISSING: Guide(
        say("A side says that it has no such card, and it had one."),
        _missing_done,
        _missing_deed,
        lambda case: [_link(case), _retry(say("it is back: look again")), _leave(say("it stays away"))],
        lambda case: case.worth_minor,
    ),
    Situation.OTHER_CARD: Guide(
        say("Under the id that the card has on a side, that side now shows a number with another end."),
        lambda case: say(
            "Nothing is written in {place} for it, and nothing moves.", place=case.place(case.side).name
        ),
        lambda case: say(
            "Look at {spot}: it shows one that ends in {card}. If the card has that number "
            "now, or another, say link with it; if that was a mistake, mend it there and "
            "say retry.",
            spot=case.spot,
            card=mask(str(case.evidence.get("shown", ""))),
        ),
        lambda case: [
            _link(case),
            _retry(say("it shows its own number again: look again")),
            _leave(say("it stays so")),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.UNREADABLE: Guide(
        say(
            "A side answers for the card, and what it says cannot be: a balance below "
            "zero, a part of the smallest unit, or a card that needs a code nobody gave."
        ),
        lambda case: say(
            "Nothing is written in {place}, and what it says is no balance to giftsync.",
            place=case.place(case.side).name,
        ),
        lambda case: say(
            "Look at {spot} and mend it there; this closes by itself when it can be read.", spot=case.spot
        ),
        lambda case: [_retry(say("it is mended: look again now")), _leave(say("it stays as it is there"))],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_UNREADABLE: Guide(
        say("A side tells of a new card, and what it says of it cannot be believed."),
        lambda case: say("Nothing: the card is left alone until it can be read."),
        lambda case: say(
            "Look at {spot} and mend it there; this closes by itself when it can be read.", spot=case.spot
        ),
        lambda case: [
            _retry(say("it is mended: look again now")),
            _leave(say("the card stays out of giftsync")),
        ],
    ),
    Situation.LANDED_TWICE: Guide(
        say("One request of giftsync's took effect twice, because its answer was lost."),
        lambda case: say(
            "giftsync undoes the second time in {place} by itself.", place=case.place(case.side).name
        ),
        lambda case: say("Nothing has to be done for {card}; say acknowledge.", card=case.ends_in),
        lambda case: [_seen(say("you know of it; nothing more follows"))],
    ),
    Situation.MARK_COPIED: Guide(
        say("Somebody copied a note of giftsync's onto this card by hand."),
        lambda case: say("What the note stands on counts as a customer's own doing."),
        _mark_deed,
        lambda case: [
            _leave(say("the note stays as it is")),
            _retry(say("the mark was taken out: look again now")),
        ],
        lambda case: case.worth_minor,
    ),
    Situation.NEW_CARD_WITH_MARK: Guide(
        say(
            "A new card has a note that was copied from a card of giftsync's, so it may be "
            "that one made twice."
        ),
        lambda case: say("Nothing: the card is left alone, so that it is not made a second time elsewhere."),
        _mark_deed,
        lambda case: [
            _retry(say("the mark was taken out: look again now")),
            _leave(say("the card stays out of giftsync")),
        ],
    ),
    Situation.OTHER_LEDGER: Guide(
        say("A card was made by a giftsync that keeps another ledger than this one."),
        lambda case: say("Nothing: the card is left alone, so that it is not made a second time elsewhere."),
        lambda case: say(
            "Find the other giftsync that writes in {place} and stop it, or put back the "
            "ledger that {spot} is in. To leave this card out of giftsync, say ignore.",
            place=case.place(case.side).name,
            spot=case.spot,
        ),
        lambda case: [_leave(say("the card stays out of giftsync"))],
    ),
    Situation.TWO_CARDS: Guide(
        say("A new card has, on another side, the number of a card that giftsync knows already."),
        lambda case: say("Nothing: both cards are left alone."),
        _two_cards_deed,
        lambda case: [
            _retry(say("one of the two is closed: look again now")),
            _leave(say("the new card stays out of giftsync")),
        ],
    ),
    Situation.MAY_BE_STORE_CARD: Guide(
        say("A card was made online without an order, and its code looks like a number of the store."),
        lambda case: say("Nothing: a second number would give its owner the money twice."),
        lambda case: say(
            "Look at {spot}. If it is a copy of a store card, deactivate it there: the "
            "store card is then made online by giftsync. If it is a card of its own, say "
            "acknowledge.",
            spot=case.spot,
        ),
        lambda case: [
            _seen(say("it is a card of its own, and gets a number for the store")),
            _retry(say("it is deactivated now: look again")),
            _leave(say("the card stays out of giftsync")),
        ],
    ),
    Situation.ASSIGNED_TWICE: Guide(
        say("The physical card was sold to somebody else while it was being given to an online order."),
        lambda case: say("The money was taken off the online card and waits for another physical one."),
        lambda case: say(
            "Take another physical card and give `giftsync cards assign` again with its "
            "number; the money of card {card} goes onto it.",
            card=case.evidence.get("card", ""),
        ),
        lambda case: [_leave(say("the money waits until another card is given"))],
    ),
    Situation.ASSIGNMENT_CHANGED: Guide(
        say("Somebody, or something, changed what the ledger keeps of a physical card for an online order."),
        lambda case: say("The money that was taken off the online card is given to nobody."),
        lambda case: say(
            "Give `giftsync cards assign` again with the physical card's number: what card {card} held is "
            "told by its history, whatever the row says now. Find out who writes into the database.",
            card=case.evidence.get("card", ""),
        ),
        lambda case: [_leave(say("nothing was to be given, or the money waits"))],
    ),
    Situation.IN_DOUBT: Guide(
        say("The answer to a request was lost, and the side cannot say whether it took effect."),
        lambda case: say(
            "The request is not sent again, and nothing else is written to that side for this card."
        ),
        _in_doubt_deed,
        lambda case: [
            Option(
                Action.LANDED, say("you looked: it took effect ({given} there)", given=_doubt_words(case)[1])
            ),
            Option(
                Action.NOT_LANDED,
                say("you looked: it did not ({given} there); it is sent again", given=_doubt_words(case)[2]),
            ),
        ],
    ),
    Situation.REFUSED: Guide(
        say("A side said no to a change, and the card as it shows does not explain why."),
        lambda case: say("The change was taken back, and nothing else is tried."),
        _refused_deed,
        lambda case: [
            _retry(say("what was wrong is mended: look again, and write what is owed")),
            *_accept_this_side(case),
            _value(case),
            _leave(say("it stays different there")),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.NOT_WRITABLE: Guide(
        say("Money moved on one side, and the card of another side takes none now."),
        lambda case: say("Nothing yet: it is written as soon as that side's card takes it."),
        _not_writable_deed,
        lambda case: [
            _retry(say("its card takes money now: look again")),
            *_accept_this_side(case),
            _leave(say("it stays different there")),
        ],
        lambda case: abs(case.owed_minor),
    ),
    Situation.NOTIFICATION: Guide(
        say("The buyer of a new card was to be told of it, and was not, or nobody knows whether they were."),
        lambda case: say(
            "Nothing is sent again by itself: a second message is worse than none. The card works everywhere."
        ),
        lambda case: say(
            "Tell the buyer of {card} yourself and say acknowledge; or say retry, and "
            "{place} sends the message, perhaps for the second time.",
            card=case.ends_in,
            place=case.place(case.side).name,
        ),
        lambda case: [
            _seen(say("the buyer knows; how they are reached is forgotten")),
            _retry(say("send the message; if it did go out, they get it twice")),
            _leave(say("the buyer is not told")),
        ],
    ),
    Situation.POOL_EMPTY: Guide(
        say("Cards are being bought online, and no store numbers are left for them."),
        lambda case: say("The cards wait; they can be spent online."),
        lambda case: say(
            "Add numbers for {place} with `giftsync pool add FILE`, or set serial_prefix; "
            "the cards that wait are then made by themselves.",
            place=case.place(case.side).name,
        ),
        lambda case: [_leave(say("cards that are bought online stay online until there are numbers"))],
    ),
    Situation.LEDGER_BEHIND: Guide(
        say(
            "The ledger was put back to an earlier state. What giftsync did since was read "
            "back from the sides; for some cards customers alone do not explain it, so a "
            "person's decision may have been lost."
        ),
        lambda case: say("Nothing is written to these cards. All others are in step."),
        lambda case: say(
            "Say for each of these cards what it is worth with `giftsync recover`; the "
            "conflict closes by itself with the last of them."
        ),
        lambda case: [_leave(say("the cards go on waiting for `giftsync recover`"))],
    ),
    Situation.SECOND_LEDGER: Guide(
        say(
            "A side shows changes that giftsync made, and this ledger did not make them: a "
            "second giftsync is at work, or this ledger was put back while it ran."
        ),
        lambda case: say("The link has stopped: two that mirror each other would move money for ever."),
        lambda case: case.proposal or say("Find the other giftsync and stop it; then resume."),
        lambda case: [Option(Action.RESUME, say("the other one is gone: the link goes on"))],
    ),
    Situation.TAMPERED: Guide(
        say(
            "Somebody, or something, changed the ledger's database past giftsync, or the "
            "disk lost a part of it."
        ),
        lambda case: say(
            "Nothing: no side is asked or written for this card, and what was changed is left as it is."
        ),
        _tampered_deed,
        _tampered_options,
    ),
    Situation.HISTORY_CHANGED: Guide(
        say(
            "Somebody, or something, changed what the ledger has written down about this card for good: an "
            "old movement, or a step of an old request."
        ),
        lambda case: say(
            "The card goes on: what it is worth now is proved without these rows. Months that are closed "
            "stay as they were signed; its statement may tell what is not so."
        ),
        _history_deed,
        lambda case: [
            _leave(say("the card goes on with the rows as they are")),
            _retry(say("the rows were put back as they were: check them again")),
        ],
    ),
    Situation.BOOK_REWRITTEN: Guide(
        say("Somebody has corrected what the system there lists for the card, or it was put back."),
        lambda case: say("Nothing: no money has moved, and the card goes on."),
        lambda case: say(
            "Look at {card} in {screen}, and compare with what giftsync has taken in: `giftsync cards show "
            "{card_id}`. If it is right, say acknowledge.",
            card=case.ends_in,
            screen=case.place(case.side).screen,
            card_id=case.card.id if case.card is not None else "",
        ),
        lambda case: [_seen(say("you know of it; nothing more follows"))],
    ),
    Situation.CARD_GONE: Guide(
        say(
            "Somebody, or something, deleted the card from the ledger's database; other rows of it are left."
        ),
        lambda case: say("Nothing: the card is not kept in step any more, and what each side shows stays."),
        _gone_deed,
        lambda case: [
            _leave(say("the card was closed on every side by hand and made up for, or is not missed")),
        ],
    ),
    Situation.BRAKE: Guide(
        say("More was about to change than the settings allow."),
        lambda case: say("The link has stopped: nothing is written until it is resumed."),
        _brake_deed,
        lambda case: [_resume(case)],
    ),
}
