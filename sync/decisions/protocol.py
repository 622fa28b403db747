"""The protocol, pure: what follows from what the sides showed (design.md, "The hub ledger protocol").

Every function takes a card as the ledger has it and returns a Decision: the card afterwards, and the
movements, intents and conflicts that lead there. H is the hub's balance, S(p) the shadow of presence p: what
side p will show once every intent recorded for it has landed and nobody else has moved it.

    observe   d = shown - S(p); H += d; S(p) = shown          only while p has no open intent
    settle    owed = H - S(q); an intent for it; S(q) = H     by arithmetic, never by reading back
    refuse    S(q) -= amount; q is stale                      nothing is planned for q until it is observed
    land      the promise came true; landing twice moves S alone, and settling undoes it
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from connectors.api.card import Absent, Observation, Seen, Unreadable
from connectors.api.effect import Applied, EffectKind
from connectors.api.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.decisions import (
    causes,
    deviations,
    evidence,
    first_contact,
    lost,
    notification,
    redemptions,
    status_and_expiry,
)
from sync.decisions.draft import Draft
from sync.decisions.promises import is_untried
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    Hold,
    Intent,
    IntentChange,
    IntentState,
    KnownMarker,
    LinkRules,
    LostEffect,
    MovementKind,
    NewConflict,
    NewIntent,
    Observations,
    Overdraft,
    Presence,
    Traces,
)

#: A race explains itself when the presence is observed; after so many refusals that nothing explains, a
#: person is asked.
UNEXPLAINED_RACES_MAX = 3
#: Answers for a card that cannot be believed before a person is asked.
UNREADABLE_MAX = 3
#: Read-backs that cannot tell before a person is asked.
UNCLEAR_READS_MAX = 3


def observe(
    card: Card,
    observations: Observations,
    rules: LinkRules,
    today: date,
    marked: Mapping[str, KnownMarker] | None = None,
    traces: Traces | None = None,
) -> Decision:
    """Steps 1 and 2, as one decision: take in what the sides showed, then settle what is owed.

    `marked` tells, for our markers among the observed entries, what the ledger knows of them; `traces` what
    is known beside them of a card that is behind.
    """
    draft = Draft(card)
    marked = marked or {}
    if card.behind and not card.held:
        traces = traces or Traces()
        if traces.made:
            return _bind(draft, traces.made, observations, rules)
        books = lost.read_books(card, observations, marked, traces)
        if books is None:
            return Decision(card)
        if not lost.are_explained(card, books, traces.history):
            return Decision(replace(card, held=True))
        marked = {**marked, **adopt_lost(draft, books)}
    if card.held:
        # What its sides show of a card that the ledger lost sight of says nothing before a person does.
        if not card.behind:
            first_contact.look_again(draft, observations, rules)
    else:
        _take_in(draft, observations, rules, marked, today)
        if card.behind:
            read_to_the_end(draft, observations)
        if not draft.card.held:  # First contact may have come up just now.
            settle_into(draft, rules, today)
    return draft.decision()


def _take_in(
    draft: Draft,
    observations: Observations,
    rules: LinkRules,
    marked: Mapping[str, KnownMarker],
    today: date,
) -> None:
    """Step 1: what each side showed, on which no promise is under way."""
    ours = {marker: known for marker, known in marked.items() if not known.copied}
    copied = marked.keys() - ours.keys()
    # Closed sides last: closing ends what is left, so what was spent elsewhere has to be taken in before.
    closed_last = sorted(observations.items(), key=lambda item: _is_closed(item[1]))
    for side, observation in closed_last:
        # A promise that is under way would be read as somebody's movement.
        if not draft.presence(side).open_intents:
            match observation:
                case Seen():
                    _read_again(draft, side)
                    _tell_of_copies(draft, side, observation, copied)
                    apply_observation(draft, side, observation, rules, ours, today)
                case Absent():
                    _read_again(draft, side)
                    _miss(draft, side, today)
                case Unreadable():
                    _misread(draft, side, observation)


def _bind(
    draft: Draft, made: Mapping[str, LostEffect | None], observations: Observations, rules: LinkRules
) -> Decision:
    """Cards that a newer ledger made are this one's; what happened to them since is looked at next."""
    for side, effect in made.items():
        seen = observations.get(side)
        if not isinstance(seen, Seen):
            continue
        if effect is None:
            first_contact.join_presence(draft, side, seen, rules)
            continue
        draft.change(
            side,
            native_id=seen.native_id,
            born=True,
            stale=False,
            shadow_minor=draft.presence(side).shadow_minor + effect.amount_minor,
            shadow_status=CardStatus.ACTIVE,
            shadow_expires_on=seen.expires_on,
            book_cursor="",
            contact=None,  # The newer ledger has told the buyer, or has asked a person.
        )
        draft.intents.append(NewIntent(side, EffectKind.CREATE, effect.amount_minor, lost=effect))
    return draft.decision()


def read_to_the_end(draft: Draft, observations: Observations) -> None:
    """Everything that the sides list of the card is taken in."""
    for side, seen in observations.items():
        if isinstance(seen, Seen):
            draft.change(side, **evidence.read_to(seen, draft.presence(side)))


def adopt_lost(draft: Draft, books: Sequence[lost.Book]) -> dict[str, KnownMarker]:
    """Record the effects that a newer ledger made: they move the shadows and not the hub.

    Returns what the ledger knows of them now.
    """
    marked: dict[str, KnownMarker] = {}
    for book in books:
        for effect in book.ours:
            if effect.marker in marked:
                again = marked[effect.marker].landings + 1
                draft.move(MovementKind.ECHO, book.side, 0, effect.amount_minor, {"marker": effect.marker})
                marked[effect.marker] = replace(marked[effect.marker], landings=again)
                continue
            marked[effect.marker] = KnownMarker(effect.amount_minor, 1)
            kind = EffectKind.CREDIT if effect.amount_minor > 0 else EffectKind.DEBIT
            draft.intents.append(NewIntent(book.side, kind, effect.amount_minor, lost=effect))
            shadow = draft.presence(book.side).shadow_minor
            draft.change(book.side, shadow_minor=shadow + effect.amount_minor)
        if book.hidden_minor:
            why = {"hidden": "all sides show the same, so a newer ledger had carried this over"}
            draft.move(MovementKind.ADOPTED, book.side, 0, book.hidden_minor, why)
    draft.card = replace(draft.card, behind=False)
    return marked


def settle(card: Card, rules: LinkRules, today: date) -> Decision:
    """Step 2 alone: plan what is owed to every presence that may be written."""
    draft = Draft(card)
    if not card.held:
        settle_into(draft, rules, today)
    return draft.decision()


# --- Observe ------------------------------------------------------------------------------------------------


def _is_closed(observation: Observation) -> bool:
    return isinstance(observation, Seen) and observation.status is CardStatus.CLOSED


def apply_observation(
    draft: Draft, side: str, seen: Seen, rules: LinkRules, marked: Mapping[str, KnownMarker], today: date
) -> None:
    """What the side showed; `marked` tells of the markers among its entries."""
    if seen.currency != draft.card.currency:
        told = causes.currency(draft.card, draft.presence(side), seen)
        _hold(draft, side, Hold.CURRENCY, told)
        return
    if seen.status is None:
        worth = draft.card.balance_minor
        _hold(draft, side, Hold.STATUS, causes.status_unknown(draft.presence(side), seen.status_text, worth))
        return
    p = draft.presence(side)
    if not p.born:
        if seen.status is CardStatus.INACTIVE and seen.balance_minor == 0:
            _explain_refusal(draft, side, p, today)  # A number of the pool, waiting to be issued.
        elif seen.created_by is not None and seen.created_by in marked:
            _own(draft, side, seen, seen.created_by, marked[seen.created_by].amount_minor)
            landed = replace(marked[seen.created_by], landings=1)
            apply_observation(draft, side, seen, rules, {**marked, seen.created_by: landed}, today)
        elif any(o.serial == p.serial for o in draft.card.presences if o.side != side):
            first_contact.join_presence(draft, side, seen, rules)
        else:
            _hold(draft, side, Hold.REFUSED, causes.number_of_another(p, draft.card.balance_minor))
        return
    if not first_contact.shows_it(p, seen):
        _hold(draft, side, Hold.OTHER_CARD, causes.other_card(p, seen, draft.card.balance_minor))
        return
    _count_echoes(draft, side, seen, marked)
    before = draft.presence(side)
    deviates = deviations.take_in(draft, side, seen, marked)
    _take_in_balance(draft, side, seen, marked, rules)
    if deviates:
        draft.change(side, **evidence.read_to(seen, before))
    status_and_expiry.apply_fields(draft, side, seen, seen.status, rules)
    _explain_refusal(draft, side, before, today)


def _take_in_balance(
    draft: Draft, side: str, seen: Seen, marked: Mapping[str, KnownMarker], rules: LinkRules
) -> None:
    p = draft.presence(side)
    d = seen.balance_minor - p.shadow_minor
    if d < 0 and seen.status is CardStatus.CLOSED and seen.balance_minor == 0:
        # A side that empties a card as it closes it: the money ends, but for what others spent meanwhile.
        ends = p.shadow_status is not CardStatus.CLOSED and status_and_expiry.closes_card(
            draft.card, side, rules
        )
        ended = min(-d, max(draft.card.balance_minor, 0)) if ends else 0
        draft.move(MovementKind.CLOSED, side, -ended, d, evidence.explain(p, seen, d, marked))
    elif d:
        draft.move(MovementKind.OBSERVED, side, d, d, evidence.explain(p, seen, d, marked))
    p = draft.presence(side)
    draft.change(side, native_id=seen.native_id, needs_cvc=seen.needs_cvc)
    if d:
        draft.change(side, **evidence.read_to(seen, p))
    elif evidence.is_rewritten(p, seen):
        draft.conflicts.append(causes.book_rewritten(draft.card, p))
        draft.change(side, **evidence.read_to(seen, p))


def _tell_of_copies(draft: Draft, side: str, seen: Seen, copied: Collection[str]) -> None:
    """What carries another card's marker is no effect of ours on this one, and nobody may take it for one."""
    fresh = {entry.marker for entry in evidence.fresh(draft.presence(side), seen)}
    for marker in sorted((fresh | {seen.created_by}) & set(copied), key=str):
        draft.conflicts.append(causes.copied(side, str(marker)))


def _count_echoes(draft: Draft, side: str, seen: Seen, marked: Mapping[str, KnownMarker]) -> None:
    """Entries that carry our markers more often than the ledger counted are ours, not a customer's."""
    for marker, landings in evidence.landings(seen).items():
        known = marked.get(marker)
        if known is not None and landings > known.landings:
            _echo(draft, side, marker, known.amount_minor, landings - known.landings)
            draft.intent_changes.append(
                IntentChange(marker, IntentState.APPLIED, "landed after all", landings=landings)
            )


def _echo(draft: Draft, side: str, marker: str, amount_minor: int, times: int) -> None:
    total = amount_minor * times
    draft.move(MovementKind.ECHO, side, 0, total, {"marker": marker, "times": times})
    draft.conflicts.append(causes.duplicate(side, marker, total, times))


def _explain_refusal(draft: Draft, side: str, before: Presence, today: date) -> None:
    """A fresh look ends staleness; a refusal that it does not explain is a person's."""
    p = draft.change(side, stale=False)
    changed = (p.shadow_minor, p.shadow_status, p.shadow_expires_on) != (
        before.shadow_minor,
        before.shadow_status,
        before.shadow_expires_on,
    )
    cause = None if p.hold is None else causes.of_hold(side, p.hold)
    if cause is not None:
        draft.causes_gone.append(cause)
        p = draft.change(side, hold=None)
    inactive = p.refusal in (Refusal.NOT_ACTIVE, Refusal.EXPIRED) and not _is_spendable(p, today)
    if changed or inactive:
        if p.hold is Hold.REFUSED:
            draft.causes_gone += [causes.on_side(side, kind) for kind in causes.OF_REFUSALS]
        refusal = p.refusal if _has_run_out(p, today) else None
        draft.change(side, refusal=refusal, refusals=0, hold=None)
    elif p.refusal is not None and p.hold is None:
        races = (Refusal.INSUFFICIENT_FUNDS, Refusal.TAKEN, Refusal.UNREADABLE)
        limit = UNEXPLAINED_RACES_MAX if p.refusal in races else 1
        if p.refusals >= limit:
            draft.conflicts.append(causes.refused(draft.card, p))
            draft.change(side, hold=Hold.REFUSED)


def _misread(draft: Draft, side: str, observation: Unreadable) -> None:
    """What cannot be believed moves nothing. Said a few times in a row, it is for a person to mend."""
    p = draft.presence(side)
    if not observation.answered or p.hold is Hold.UNREADABLE:
        return
    p = draft.change(side, unreadable=p.unreadable + 1)
    if p.unreadable >= UNREADABLE_MAX:
        p = draft.change(side, hold=Hold.UNREADABLE)
        draft.conflicts.append(causes.unreadable(p, observation.reason, draft.card.balance_minor))


def _read_again(draft: Draft, side: str) -> None:
    """The side shows the card so that it can be believed; whatever it refused before may go through now."""
    p = draft.presence(side)
    if p.unreadable or p.hold is Hold.UNREADABLE:
        draft.causes_gone.append(causes.on_side(side, ConflictKind.UNREADABLE))
        hold = None if p.hold is Hold.UNREADABLE else p.hold
        draft.change(side, unreadable=0, hold=hold, refusal=None, refusals=0)


def _miss(draft: Draft, side: str, today: date) -> None:
    p = draft.presence(side)
    if p.born:
        _hold(draft, side, Hold.MISSING, causes.missing(p, draft.card.balance_minor))
    else:
        _explain_refusal(draft, side, p, today)


def _hold(draft: Draft, side: str, hold: Hold, told: NewConflict) -> None:
    p = draft.presence(side)
    if p.hold is not hold:
        draft.change(side, hold=hold)
    draft.conflicts.append(told)


def _own(draft: Draft, side: str, seen: Seen, marker: str, amount_minor: int) -> None:
    """A create that was taken back landed after all: the card there is ours, what else moved it is not."""
    draft.change(
        side,
        native_id=seen.native_id,
        born=True,
        shadow_status=CardStatus.ACTIVE,
        shadow_expires_on=seen.expires_on,
        **evidence.read_to(seen),
    )
    draft.move(MovementKind.ECHO, side, 0, amount_minor, {"marker": marker, "times": 1})
    draft.intent_changes.append(IntentChange(marker, IntentState.APPLIED, "landed after all", landings=1))
    draft.intents += notification.planned(draft.presence(side))


# --- First contact ------------------------------------------------------------------------------------------


def meet(shown: Mapping[str, Seen], others: tuple[Presence, ...], rules: LinkRules, today: date) -> Decision:
    """A card seen for the first time: `shown` by the sides that have it, `others` are to be created.

    Equal balances are adopted; unequal ones hold the card, unless the link's policy says who wins.
    """
    draft = first_contact.open_card(shown, others, rules)
    if not draft.card.held:
        settle_into(draft, rules, today)
    return draft.decision()


def withdrawn(card: Card, rules: LinkRules) -> Decision:
    """What was planned under other settings, is against those of now and was never tried, is taken back."""
    draft = Draft(card)
    for p in card.presences:
        forbidden = False
        taken_back = []
        for intent in p.open_intents:
            # What stands behind a create rests on it.
            forbidden = (forbidden and not p.born) or not status_and_expiry.allows(rules.side(p.side), intent)
            if forbidden and intent.state is IntentState.PLANNED and not intent.doubted:
                taken_back.append(intent)
        draft.withdraw_all(taken_back, "the settings do not allow it any more")
    return draft.decision()


def given_up(card: Card, why: str) -> Decision:
    """What is planned, and surely not on its side, is planned anew from what the sides show.

    Of a ledger that was put back: the newer one may have promised the same under another marker. Presences
    that do not exist yet are looked for first.
    """
    draft = Draft(card)
    for p in card.presences:
        draft.withdraw_all([i for i in p.open_intents if i.state is IntentState.PLANNED], why)
        after = draft.presence(p.side)
        if not after.born and not after.open_intents and not after.stale:
            draft.change(p.side, stale=True)
    return draft.decision()


# --- Settle -------------------------------------------------------------------------------------------------


def settle_into(draft: Draft, rules: LinkRules, today: date) -> None:
    """Write off what is missing, and plan what is owed to every presence that may be written."""
    write_off(draft, rules)
    if draft.card.status is CardStatus.CLOSED and draft.card.balance_minor:
        # Whatever a side that closed the card still shows, its money has ended.
        closed_by = next((p.side for p in draft.card.presences if p.shadow_status is CardStatus.CLOSED), None)
        draft.move(MovementKind.CLOSED, closed_by, -draft.card.balance_minor, 0)
    for p in draft.card.presences:
        # What a stale presence shows is unknown: an intent would be planned for ever against a refusal.
        if p.stale or p.hold is not None or p.side not in rules.sides:
            continue
        if p.born or p.open_intents:
            _plan_for(draft, p, rules, today)
        else:
            _plan_create(draft, p, rules, today)


def write_off(draft: Draft, rules: LinkRules) -> None:
    """A card that has less than was taken: what is not certain gives way, the rest is a shortfall."""
    redemptions.give_way(draft)
    shortfall = -draft.card.balance_minor
    if shortfall <= 0:
        return
    moved = {m.side: m.amount_minor for m in draft.movements if m.side is not None}
    told = causes.overdraft(draft.card, shortfall, moved)
    if rules.overdraft is Overdraft.WRITE_OFF:
        told = replace(told, settled=Overdraft.WRITE_OFF.value)
    draft.conflicts.append(told)
    draft.move(MovementKind.WRITE_OFF, None, shortfall, 0, {"shortfall_minor": shortfall})


def _plan_create(draft: Draft, p: Presence, rules: LinkRules, today: date) -> None:
    card = draft.card
    expired = card.expires_on is not None and card.expires_on < today
    worth_creating = card.balance_minor > 0 and card.status is CardStatus.ACTIVE and not expired
    numbered = p.serial is not None or rules.sides[p.side].assigns_numbers
    if not (worth_creating and rules.sides[p.side].creates and numbered):
        draft.causes_gone.append(causes.on_side(p.side, ConflictKind.OVER_LIMIT))
        return
    if _is_over_limit(draft, p, rules):
        return
    amount = card.balance_minor
    draft.intents.append(
        NewIntent(p.side, EffectKind.CREATE, amount, expires_on=card.expires_on, note=p.note, brand=p.brand)
    )
    draft.change(
        p.side,
        shadow_minor=p.shadow_minor + amount,
        shadow_status=CardStatus.ACTIVE,
        shadow_expires_on=card.expires_on if rules.sides[p.side].takes_expiry else None,
    )


def _plan_for(draft: Draft, p: Presence, rules: LinkRules, today: date) -> None:
    """Relaxing comes before money and money before restricting: a closed or expired card takes neither."""
    side = rules.sides[p.side]
    if side.suspends_by_date and p.shadow_status is CardStatus.SUSPENDED:
        # There is no room for a date until the suspension is lifted, and lifting it brings the date.
        p = draft.change(p.side, shadow_expires_on=draft.card.expires_on)
    owed = status_and_expiry.owed(draft.card, p, side)
    status_and_expiry.tell_of_status(draft, p, side)
    for intent, relaxes in owed:
        if relaxes:
            status_and_expiry.promise(draft, p.side, intent)
    _plan_balance(draft, draft.presence(p.side), rules, today)
    for intent, relaxes in owed:
        if not relaxes:
            status_and_expiry.promise(draft, p.side, intent)


def _is_spendable(p: Presence, today: date) -> bool:
    expired = p.shadow_expires_on is not None and p.shadow_expires_on < today
    return p.shadow_status is CardStatus.ACTIVE and not expired and not _has_run_out(p, today)


def _has_run_out(p: Presence, today: date) -> bool:
    """Whether the card's last day is today and is over for its side, which ends cards at an instant.

    A date cannot tell, so the side's refusal is remembered.
    """
    return p.refusal is Refusal.EXPIRED and p.shadow_expires_on == today


def _plan_balance(draft: Draft, p: Presence, rules: LinkRules, today: date) -> None:
    owed = draft.card.balance_minor - p.shadow_minor
    cause = causes.on_side(p.side, ConflictKind.NOT_WRITABLE)
    side = rules.sides[p.side]
    allowed = side.credits if owed > 0 else side.debits
    writable = allowed and (_is_spendable(p, today) or side.moves_when_suspended)
    closes = draft.card.status is CardStatus.CLOSED and status_and_expiry.allows_status(
        side, CardStatus.CLOSED
    )
    if owed <= 0:
        draft.causes_gone.append(causes.on_side(p.side, ConflictKind.OVER_LIMIT))
    if owed == 0 or p.shadow_status is CardStatus.CLOSED or (closes and not writable):
        draft.causes_gone.append(cause)
        return
    if not writable:
        draft.conflicts.append(causes.not_writable(draft.card, p, owed, allowed=allowed))
        return
    if owed > 0 and _is_over_limit(draft, p, rules):
        return
    kind = EffectKind.CREDIT if owed > 0 else EffectKind.DEBIT
    draft.intents.append(NewIntent(p.side, kind, owed))
    draft.change(p.side, shadow_minor=p.shadow_minor + owed)
    draft.causes_gone.append(cause)


def _is_over_limit(draft: Draft, p: Presence, rules: LinkRules) -> bool:
    """Whether the side would refuse so much on one card, so that it need not be asked."""
    limit = rules.sides[p.side].card_limit_minor
    if limit is None or draft.card.balance_minor <= limit:
        draft.causes_gone.append(causes.on_side(p.side, ConflictKind.OVER_LIMIT))
        return False
    draft.conflicts.append(causes.over_limit(draft.card, p, limit))
    return True


# --- Outcomes of an intent ----------------------------------------------------------------------------------


def sent(card: Card, intent: Intent) -> Decision:
    """Committed before the call, so that a crash during it is known to be in doubt."""
    return Decision(card, intent_changes=(IntentChange(intent.marker, IntentState.SENT),))


def sent_at_once(decision: Decision, nth: int) -> Decision:
    """The decision with the n-th of its new intents sent as it is planned, since no call lies in between."""
    sends = replace(decision.intents[nth], sends=True)
    return replace(decision, intents=(*decision.intents[:nth], sends, *decision.intents[nth + 1 :]))


def not_sent(
    card: Card, intent: Intent, reason: str, not_before: datetime, *, postponed: int | None = None
) -> Decision:
    """Surely nothing happened in this attempt: it stays planned. `postponed` counts such attempts."""
    change = IntentChange(
        intent.marker, IntentState.PLANNED, reason, not_before=not_before, postponed=postponed
    )
    return Decision(card, intent_changes=(change,))


def doubt(
    card: Card,
    intent: Intent,
    reason: str,
    not_before: datetime,
    refusal: Refusal | None = None,
    *,
    look_at: datetime | None = None,
) -> Decision:
    """It may have happened. Absence may not be concluded before `not_before`, the end of the quiet period.

    It is looked for at `look_at`, if that is sooner: to find it is conclusive at any moment.
    """
    change = IntentChange(
        intent.marker,
        IntentState.IN_DOUBT,
        reason,
        doubted=True,
        not_before=not_before,
        look_at=look_at,
        refusal=refusal,
    )
    return Decision(card, intent_changes=(change,))


def look_again(card: Card, intent: Intent, reason: str, look_at: datetime) -> Decision:
    """Nothing is known yet: the quiet period goes on, or the side could not be asked."""
    change = IntentChange(
        intent.marker,
        IntentState.IN_DOUBT,
        reason,
        not_before=intent.not_before,
        look_at=look_at,
        refusal=intent.refusal,
    )
    return Decision(card, intent_changes=(change,))


def ask_again(card: Card, intent: Intent, reason: str, not_before: datetime) -> Decision:
    """It may have happened, on a side where it lands at most once: the same request settles it."""
    change = IntentChange(
        intent.marker,
        IntentState.PLANNED,
        reason,
        doubted=True,
        not_before=not_before,
        postponed=intent.postponed + 1,
    )
    return Decision(card, intent_changes=(change,))


def land_applied(card: Card, intent: Intent, applied: Applied, landings: int = 1) -> Decision:
    """`land`, as the side's answer to the effect tells it."""
    return land(
        card,
        intent,
        landings,
        applied.native_id,
        applied.reference or "",
        applied.serial,
        applied.balance_minor,
    )


def land(
    card: Card,
    intent: Intent,
    landings: int,
    native_id: str,
    reference: str = "",
    serial: Serial | None = None,
    made_minor: int | None = None,
) -> Decision:
    """The effect is on the side. The shadow has it since it was planned; a second landing is an echo.

    `serial` is the number that a side which assigns them gave the card. `made_minor` is what the side said
    that a new card has, if it said so: with another amount than was asked the card is held.
    """
    draft, side = Draft(card), intent.side
    draft.end(intent, IntentState.APPLIED, reference, landings)
    p = draft.presence(side)
    # A card that giftsync makes has an empty book.
    cursor = p.book_cursor or "" if intent.kind is EffectKind.CREATE else p.book_cursor
    draft.change(side, native_id=native_id, born=True, refusal=None, refusals=0, book_cursor=cursor)
    if landings > 1 and intent.amount_minor:
        _echo(draft, side, intent.marker, intent.amount_minor, landings - 1)
    if intent.kind is EffectKind.CREATE:
        if serial is not None:
            draft.change(side, serial=serial, last_chars=serial.last_chars)
        draft.intents += notification.planned(draft.presence(side))
        # Whoever has the number may have used a card since that an earlier attempt made.
        if made_minor not in (None, intent.amount_minor) and not intent.doubted:
            deviates = deviations.Deviation(intent.marker, intent.amount_minor, made_minor or 0)
            deviations.hold(draft, side, [deviates])
            draft.change(side, stale=True)  # The shadow follows what it shows.
    for kind in (*causes.OF_REFUSALS, ConflictKind.IN_DOUBT):
        draft.causes_gone.append(causes.on_side(side, kind))
    return draft.decision()


def refuse(
    card: Card, intent: Intent, refusal: Refusal, reason: str, native_id: str | None = None
) -> Decision:
    """The side said no: the promise is withdrawn, and what follows is planned only after a fresh look.

    Intents queued behind it that were never tried rest on the same promise; they are withdrawn with it.
    """
    draft, side = Draft(card), intent.side
    behind = [i for i in card.presence(side).open_intents if i.sequence > intent.sequence and is_untried(i)]
    draft.withdraw_all(behind, "an earlier intent was refused")
    draft.withdraw(intent, reason, IntentState.REFUSED, refusal)
    p = draft.presence(side)
    native_id = p.native_id or native_id
    draft.change(side, native_id=native_id, stale=True, refusal=refusal, refusals=p.refusals + 1)
    return draft.decision()


def absent(card: Card, intent: Intent) -> Decision:
    """After the quiet period the marker is surely not there: planned again, or refused as it was."""
    if intent.refusal is Refusal.TAKEN_BACK:
        return _take_back(card, intent)
    if intent.refusal is not None:
        return refuse(card, intent, intent.refusal, "refused; an earlier attempt did not land")
    change = IntentChange(intent.marker, IntentState.PLANNED, "read back: it did not land")
    return Decision(card, intent_changes=(change,))


def _take_back(card: Card, intent: Intent) -> Decision:
    """What the hub no longer wants did not land: it goes, and so does what was to make up for it."""
    draft = Draft(card)
    behind = [i for i in card.presence(intent.side).open_intents if i.sequence >= intent.sequence]
    gone = [i for i in behind if i is intent or is_untried(i)]
    draft.withdraw_all(gone, "taken back; it did not land")
    draft.change(intent.side, stale=True)
    return draft.decision()


def unclear(card: Card, intent: Intent, reason: str, not_before: datetime) -> Decision:
    """Neither can be told. Asked again for a while; then a person decides, and the presence waits."""
    reads = intent.unclear_reads + 1
    change = IntentChange(
        intent.marker, IntentState.IN_DOUBT, reason, not_before=not_before, unclear_reads=reads
    )
    conflicts: tuple[NewConflict, ...] = ()
    if reads >= UNCLEAR_READS_MAX:
        conflicts = (causes.in_doubt(intent, reason),)
    return Decision(card, intent_changes=(change,), conflicts=conflicts)
