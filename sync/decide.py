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

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from connectors.base import Absent, EffectKind, Observation, Seen, Unreadable
from connectors.errors import Refusal
from mappings.lifecycle import CardStatus
from mappings.money import format_money
from sync import evidence
from sync.model import (
    Card,
    ConflictKind,
    Decision,
    Hold,
    Intent,
    IntentChange,
    IntentState,
    LinkRules,
    Marked,
    MovementKind,
    NewConflict,
    NewIntent,
    NewMovement,
    Observations,
    Presence,
)

#: A race explains itself when the presence is observed; after so many refusals that nothing explains, a
#: person is asked.
UNEXPLAINED_RACES_MAX = 3
#: Read-backs that cannot tell before a person is asked.
UNCLEAR_READS_MAX = 3


@dataclass
class _Draft:
    """A decision in the making."""

    card: Card
    movements: list[NewMovement] = field(default_factory=list)
    intents: list[NewIntent] = field(default_factory=list)
    intent_changes: list[IntentChange] = field(default_factory=list)
    conflicts: list[NewConflict] = field(default_factory=list)
    causes_gone: list[str] = field(default_factory=list)

    def presence(self, side: str) -> Presence:
        return self.card.presence(side)

    def put(self, changed: Presence) -> None:
        presences = tuple(changed if p.side == changed.side else p for p in self.card.presences)
        self.card = replace(self.card, presences=presences)

    def move(
        self,
        kind: MovementKind,
        side: str | None,
        amount_minor: int,
        shadow_delta_minor: int,
        evidence: Mapping[str, object] | None = None,
    ) -> None:
        balance = self.card.balance_minor + amount_minor
        self.card = replace(self.card, balance_minor=balance)
        if side is not None:
            p = self.presence(side)
            self.put(replace(p, shadow_minor=p.shadow_minor + shadow_delta_minor))
        self.movements.append(
            NewMovement(kind, side, amount_minor, shadow_delta_minor, balance, evidence or {})
        )

    def decision(self) -> Decision:
        known = self.card.causes
        return Decision(
            self.card,
            tuple(self.movements),
            tuple(self.intents),
            tuple(self.intent_changes),
            tuple(c for c in self.conflicts if known.get(c.cause) != c.amount_minor),
            tuple(cause for cause in self.causes_gone if cause in known),
        )


def observe(
    card: Card,
    observations: Observations,
    rules: LinkRules,
    today: date,
    marked: Mapping[str, Marked] | None = None,
) -> Decision:
    """Steps 1 and 2, as one decision: take in what the sides showed, then settle what is owed.

    `marked` tells, for our markers among the observed entries, what the ledger knows of them.
    """
    draft = _Draft(card)
    if not card.held:
        # What others spent before a card was closed is not there to end with it.
        closed_last = sorted(observations.items(), key=lambda item: _is_closed(item[1]))
        for side, observation in closed_last:
            # A promise that is under way would be read as somebody's movement.
            if not draft.presence(side).open_intents:
                match observation:
                    case Seen():
                        _take_in(draft, side, observation, rules, marked or {}, today)
                    case Absent():
                        _miss(draft, side, today)
                    case Unreadable():
                        pass
        if not draft.card.held:  # First contact may have come up just now.
            _settle(draft, rules, today)
    return draft.decision()


def settle(card: Card, rules: LinkRules, today: date) -> Decision:
    """Step 2 alone: plan what is owed to every presence that may be written."""
    draft = _Draft(card)
    if not card.held:
        _settle(draft, rules, today)
    return draft.decision()


# --- Observe ------------------------------------------------------------------------------------------------


def _is_closed(observation: Observation) -> bool:
    return isinstance(observation, Seen) and observation.status is CardStatus.CLOSED


def _take_in(
    draft: _Draft, side: str, seen: Seen, rules: LinkRules, marked: Mapping[str, Marked], today: date
) -> None:
    if seen.currency != draft.card.currency:
        _hold(draft, side, Hold.CURRENCY, ConflictKind.CURRENCY, _currency_words(draft.card, side, seen))
        return
    if seen.status is None:
        words = f"{side} shows the status {seen.status_text!r}, which giftsync does not know; nothing moves."
        _hold(draft, side, Hold.STATUS, ConflictKind.STATUS, words)
        return
    p = draft.presence(side)
    if not p.born:
        if seen.status is CardStatus.INACTIVE and seen.balance_minor == 0:
            _explain_refusal(draft, side, p, today)  # A number of the pool, waiting to be issued.
        elif seen.created_by is not None and seen.created_by in marked:
            _own(draft, side, seen, seen.created_by, marked[seen.created_by].amount_minor)
            landed = replace(marked[seen.created_by], landings=1)
            _take_in(draft, side, seen, rules, {**marked, seen.created_by: landed}, today)
        elif any(o.serial == p.serial for o in draft.card.presences if o.side != side):
            _adopt(draft, side, seen, rules)
        else:
            words = f"The number allotted to the card on {side} belongs to another card there."
            _hold(draft, side, Hold.REFUSED, ConflictKind.SERIAL, words)
        return
    _count_echoes(draft, side, seen, marked)
    before = draft.presence(side)
    _take_in_balance(draft, side, seen, marked)
    by_date = side in rules.sides and rules.sides[side].suspends_by_date
    _take_in_fields(draft, side, seen, seen.status, by_date)
    _explain_refusal(draft, side, before, today)


def _take_in_balance(draft: _Draft, side: str, seen: Seen, marked: Mapping[str, Marked]) -> None:
    p = draft.presence(side)
    d = seen.balance_minor - p.shadow_minor
    if d < 0 and seen.status is CardStatus.CLOSED and seen.balance_minor == 0:
        # A side that empties a card as it closes it: the money ends, but for what others spent meanwhile.
        ended = 0 if p.shadow_status is CardStatus.CLOSED else min(-d, max(draft.card.balance_minor, 0))
        draft.move(MovementKind.CLOSED, side, -ended, d, evidence.explain(p, seen, d, marked))
    elif d:
        draft.move(MovementKind.OBSERVED, side, d, d, evidence.explain(p, seen, d, marked))
    p = draft.presence(side)
    cursor = evidence.newest(seen, p.book_cursor) if d else p.book_cursor
    draft.put(replace(p, native_id=seen.native_id, book_cursor=cursor))


def _take_in_fields(draft: _Draft, side: str, seen: Seen, status: CardStatus, by_date: bool) -> None:
    """Three-way per field against the shadow: a side that differs from it has changed it."""
    p, card = draft.presence(side), draft.card
    if status is CardStatus.INACTIVE and p.shadow_status is not CardStatus.INACTIVE:
        status = CardStatus.SUSPENDED  # A card that was active and is not any more.
    if status is not p.shadow_status:
        if card.status is p.shadow_status or card.status is status:
            chosen = status  # Only this side changed, or both alike.
        else:
            chosen = max(card.status, status, key=lambda s: s.restriction)
            draft.conflicts.append(_status_conflict(card, side, status, chosen))
        if card.status is CardStatus.CLOSED:
            chosen = CardStatus.CLOSED  # A machine never re-enables.
        draft.card = replace(card, status=chosen)
        draft.put(replace(p, shadow_status=status))
    suspended_by_date = by_date and status is CardStatus.SUSPENDED
    if suspended_by_date or status is CardStatus.CLOSED:
        return  # The side's date says nothing of the card's own expiry.
    p, card = draft.presence(side), draft.card
    if seen.expires_on != p.shadow_expires_on:
        if card.expires_on == p.shadow_expires_on or card.expires_on == seen.expires_on:
            expiry = seen.expires_on
        else:
            expiry = _earlier(card.expires_on, seen.expires_on)
            draft.conflicts.append(_expiry_conflict(card, side, seen.expires_on, expiry))
        draft.card = replace(card, expires_on=expiry)
        draft.put(replace(p, shadow_expires_on=seen.expires_on))


def _count_echoes(draft: _Draft, side: str, seen: Seen, marked: Mapping[str, Marked]) -> None:
    """Entries that carry our markers more often than the ledger counted are ours, not a customer's."""
    for marker, landings in evidence.landings(seen).items():
        known = marked.get(marker)
        if known is not None and landings > known.landings:
            _echo(draft, side, marker, known.amount_minor, landings - known.landings)
            draft.intent_changes.append(
                IntentChange(marker, IntentState.APPLIED, "landed after all", landings=landings)
            )


def _echo(draft: _Draft, side: str, marker: str, amount_minor: int, times: int) -> None:
    total = amount_minor * times
    draft.move(MovementKind.ECHO, side, 0, total, {"marker": marker, "times": times})
    draft.conflicts.append(
        NewConflict(
            ConflictKind.DUPLICATE,
            f"duplicate:{marker}:{times}",
            f"A request to {side} took effect {times} time(s) more than it was meant to.",
            side=side,
            amount_minor=abs(total),
            proposal="Nothing to do: giftsync undoes it on that side.",
            evidence={"marker": marker, "times": times},
        )
    )


def _explain_refusal(draft: _Draft, side: str, before: Presence, today: date) -> None:
    """A fresh look ends staleness; a refusal that it does not explain is a person's."""
    p = replace(draft.presence(side), stale=False)
    changed = (p.shadow_minor, p.shadow_status, p.shadow_expires_on) != (
        before.shadow_minor,
        before.shadow_status,
        before.shadow_expires_on,
    )
    if p.hold in (Hold.MISSING, Hold.STATUS, Hold.CURRENCY):
        draft.causes_gone.append(_cause(draft.card, p, _HOLD_CONFLICT[p.hold]))
        p = replace(p, hold=None)
    inactive = p.refusal in (Refusal.NOT_ACTIVE, Refusal.EXPIRED) and not _is_spendable(p, today)
    if changed or inactive:
        if p.hold is Hold.REFUSED:
            draft.causes_gone += [_cause(draft.card, p, kind) for kind in _REFUSAL_KINDS]
        p = replace(p, refusal=None, refusals=0, hold=None)
    elif p.refusal is not None and p.hold is None:
        races = (Refusal.INSUFFICIENT_FUNDS, Refusal.TAKEN)
        limit = UNEXPLAINED_RACES_MAX if p.refusal in races else 1
        if p.refusals >= limit:
            draft.conflicts.append(_refusal_conflict(draft.card, p))
            p = replace(p, hold=Hold.REFUSED)
    draft.put(p)


def _miss(draft: _Draft, side: str, today: date) -> None:
    p = draft.presence(side)
    if p.born:
        words = f"{side} no longer has a card that it had; nothing is written there."
        _hold(draft, side, Hold.MISSING, ConflictKind.MISSING, words)
    else:
        _explain_refusal(draft, side, p, today)


def _hold(draft: _Draft, side: str, hold: Hold, kind: ConflictKind, words: str) -> None:
    p = draft.presence(side)
    if p.hold is not hold:
        draft.put(replace(p, hold=hold))
    draft.conflicts.append(NewConflict(kind, _cause(draft.card, p, kind), words, side, abs(p.shadow_minor)))


def _own(draft: _Draft, side: str, seen: Seen, marker: str, amount_minor: int) -> None:
    """A create that was taken back landed after all: the card there is ours, what else moved it is not."""
    draft.put(
        replace(
            draft.presence(side),
            native_id=seen.native_id,
            born=True,
            shadow_status=CardStatus.ACTIVE,
            shadow_expires_on=seen.expires_on,
            book_cursor=evidence.newest(seen, None),
        )
    )
    draft.move(MovementKind.ECHO, side, 0, amount_minor, {"marker": marker, "times": 1})
    draft.intent_changes.append(IntentChange(marker, IntentState.APPLIED, "landed after all", landings=1))


def _adopt(draft: _Draft, side: str, seen: Seen, rules: LinkRules) -> None:
    """The serial turned out to be in use on the side already: first contact for this presence."""
    value = 0 if seen.status is CardStatus.CLOSED else seen.balance_minor
    born = replace(
        draft.presence(side),
        native_id=seen.native_id,
        born=True,
        stale=False,
        refusal=None,
        refusals=0,
        shadow_status=seen.status or CardStatus.SUSPENDED,
        shadow_expires_on=seen.expires_on,
        book_cursor=evidence.newest(seen, None),
    )
    draft.put(born)
    draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - born.shadow_minor)
    if seen.status is not draft.card.status and seen.status is not None:
        status = max(draft.card.status, seen.status, key=lambda s: s.restriction)
        draft.card = replace(draft.card, status=status)
    draft.card = replace(draft.card, expires_on=_earlier(draft.card.expires_on, seen.expires_on))
    if value != draft.card.balance_minor:
        _first_contact(draft, rules)


# --- First contact ------------------------------------------------------------------------------------------


def meet(shown: Mapping[str, Seen], others: tuple[Presence, ...], rules: LinkRules, today: date) -> Decision:
    """A card seen for the first time: `shown` by the sides that have it, `others` are to be created.

    Equal balances are adopted; unequal ones hold the card, unless the link's policy says who wins.
    """
    first_side, first = next(iter(shown.items()))
    presences = tuple(_presence_of(side, seen) for side, seen in shown.items())
    status = max((s.status or CardStatus.SUSPENDED for s in shown.values()), key=lambda s: s.restriction)
    expires_on = None
    for seen in shown.values():
        expires_on = _earlier(expires_on, seen.expires_on)
    blank = Card(first.currency, 0, status, expires_on, presences + others)
    draft = _Draft(blank)
    values = {side: _value(seen) for side, seen in shown.items()}
    draft.move(MovementKind.OPENING, first_side, values[first_side], first.balance_minor)
    for side, seen in shown.items():
        if side != first_side:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor)
    if len(set(values.values())) > 1:
        _first_contact(draft, rules)
    if not draft.card.held:
        _settle(draft, rules, today)
    return draft.decision()


def _first_contact(draft: _Draft, rules: LinkRules) -> None:
    shadows = {
        p.side: 0 if p.shadow_status is CardStatus.CLOSED else p.shadow_minor
        for p in draft.card.presences
        if p.born
    }
    winner = {
        "lower": min(shadows.values()),
        "higher": max(shadows.values()),
        "ask": None,
    }[rules.first_contact]
    if rules.first_contact_side in shadows:
        winner = shadows[rules.first_contact_side]
    if winner is not None:
        change = winner - draft.card.balance_minor
        if change:
            draft.move(MovementKind.RESOLUTION, None, change, 0, {"policy": "first_contact", **shadows})
        return
    draft.card = replace(draft.card, held=True)
    draft.conflicts.append(
        NewConflict(
            ConflictKind.FIRST_CONTACT,
            "first_contact",
            "One serial, two balances: "
            + ", ".join(f"{s} shows {format_money(v, draft.card.currency)}" for s, v in shadows.items())
            + ".",
            amount_minor=max(shadows.values()) - min(shadows.values()),
            proposal="Say which balance is right; nothing moves until then.",
            evidence=dict(shadows),
        )
    )


def adopt_shown(card: Card, observations: Observations) -> Decision:
    """While a card is held its sides may have moved: their shadows follow, the hub's balance does not."""
    draft = _Draft(card)
    for side, seen in observations.items():
        p = draft.presence(side)
        if isinstance(seen, Seen) and p.born and not p.open_intents and seen.balance_minor != p.shadow_minor:
            draft.move(MovementKind.ADOPTED, side, 0, seen.balance_minor - p.shadow_minor)
    return draft.decision()


def resolve_first_contact(
    adopted: Decision, balance_minor: int, rules: LinkRules, today: date, why: str
) -> Decision:
    """A person said what the card is worth: the hub takes it, and the sides follow."""
    draft = _Draft(replace(adopted.card, held=False), list(adopted.movements))
    change = balance_minor - draft.card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    draft.causes_gone.append("first_contact")
    _settle(draft, rules, today)
    return draft.decision()


def set_value(card: Card, balance_minor: int, rules: LinkRules, today: date, why: str) -> Decision:
    """A person said what a card is worth that nobody holds: the hub takes it, and the sides follow."""
    draft = _Draft(card)
    change = balance_minor - card.balance_minor
    if change:
        draft.move(MovementKind.RESOLUTION, None, change, 0, {"why": why})
    _settle(draft, rules, today)
    return draft.decision()


def _presence_of(side: str, seen: Seen) -> Presence:
    return Presence(
        side=side,
        native_id=seen.native_id,
        serial=seen.serial,
        last_chars=seen.last_chars,
        shadow_minor=0,
        shadow_status=seen.status or CardStatus.SUSPENDED,
        shadow_expires_on=seen.expires_on,
        book_cursor=evidence.newest(seen, None),
    )


def _value(seen: Seen) -> int:
    """What the card is worth there: nothing once it is closed, whatever it still shows."""
    return 0 if seen.status is CardStatus.CLOSED else seen.balance_minor


# --- Settle -------------------------------------------------------------------------------------------------


def _settle(draft: _Draft, rules: LinkRules, today: date) -> None:
    _write_off(draft)
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


def _write_off(draft: _Draft) -> None:
    shortfall = -draft.card.balance_minor
    if shortfall <= 0:
        return
    moved = {m.side: m.amount_minor for m in draft.movements if m.side is not None}
    draft.conflicts.append(
        NewConflict(
            ConflictKind.OVERDRAFT,
            f"overdraft:{draft.card.version}",
            "The card was spent on several sides within the sync lag: "
            f"{format_money(shortfall, draft.card.currency)} more than it held.",
            amount_minor=shortfall,
            proposal="It is written off, and the merchant bears it. Acknowledge it.",
            evidence={"shortfall_minor": shortfall, "movements": moved},
        )
    )
    draft.move(MovementKind.WRITE_OFF, None, shortfall, 0, {"shortfall_minor": shortfall})


def _plan_create(draft: _Draft, p: Presence, rules: LinkRules, today: date) -> None:
    card = draft.card
    expired = card.expires_on is not None and card.expires_on < today
    worth_creating = card.balance_minor > 0 and card.status is CardStatus.ACTIVE and not expired
    if not (worth_creating and rules.sides[p.side].creates and p.serial is not None):
        return
    amount = card.balance_minor
    draft.intents.append(
        NewIntent(p.side, EffectKind.CREATE, amount, expires_on=card.expires_on, note=p.note, brand=p.brand)
    )
    draft.put(
        replace(
            p,
            shadow_minor=p.shadow_minor + amount,
            shadow_status=CardStatus.ACTIVE,
            shadow_expires_on=card.expires_on,
        )
    )


def _plan_for(draft: _Draft, p: Presence, rules: LinkRules, today: date) -> None:
    """Relaxing comes before money and money before restricting: a closed or expired card takes neither."""
    side = rules.sides[p.side]
    if side.suspends_by_date and p.shadow_status is CardStatus.SUSPENDED:
        # There is no room for a date until the suspension is lifted, and lifting it brings the date.
        p = replace(p, shadow_expires_on=draft.card.expires_on)
        draft.put(p)
    fields = _field_intents(draft.card, p, side.sets_expiry, side.sets_status)
    _tell_of_status(draft, p, side.sets_status)
    for intent, relaxes in fields:
        if relaxes:
            _promise(draft, p.side, intent)
    _plan_balance(draft, draft.presence(p.side), rules, today)
    for intent, relaxes in fields:
        if not relaxes:
            _promise(draft, p.side, intent)


def _field_intents(
    card: Card, p: Presence, sets_expiry: bool, sets_status: frozenset[CardStatus]
) -> list[tuple[NewIntent, bool]]:
    planned: list[tuple[NewIntent, bool]] = []
    if p.shadow_status is CardStatus.CLOSED:
        return planned
    if card.expires_on != p.shadow_expires_on and sets_expiry:
        relaxes = _earlier(card.expires_on, p.shadow_expires_on) != card.expires_on
        intent = NewIntent(
            p.side, EffectKind.SET_EXPIRY, expires_on=card.expires_on, expires_before=p.shadow_expires_on
        )
        planned.append((intent, relaxes))
    if card.status is not p.shadow_status and card.status in sets_status:
        relaxes = card.status.restriction < p.shadow_status.restriction
        intent = NewIntent(
            p.side,
            EffectKind.SET_STATUS,
            status=card.status,
            expires_on=card.expires_on,
            status_before=p.shadow_status,
        )
        planned.append((intent, relaxes))
    return planned


def _tell_of_status(draft: _Draft, p: Presence, sets_status: frozenset[CardStatus]) -> None:
    """A status that a side does not let giftsync set is a person's to set."""
    card, cause = draft.card, f"status_not_writable:{p.side}"
    if card.status is p.shadow_status or p.shadow_status is CardStatus.CLOSED or card.status in sets_status:
        draft.causes_gone.append(cause)
        return
    draft.conflicts.append(
        NewConflict(
            ConflictKind.STATUS,
            cause,
            f"The card is {card.status}, and {p.side} does not let giftsync set that; there it is "
            f"{p.shadow_status}.",
            p.side,
            abs(p.shadow_minor),
            f"Set it on {p.side} by hand, or change the card's status back.",
        )
    )


def _promise(draft: _Draft, side: str, intent: NewIntent) -> None:
    p = draft.presence(side)
    draft.intents.append(intent)
    if intent.kind is EffectKind.SET_EXPIRY:
        draft.put(replace(p, shadow_expires_on=intent.expires_on))
    else:
        draft.put(replace(p, shadow_status=intent.status or p.shadow_status))


def _is_spendable(p: Presence, today: date) -> bool:
    expired = p.shadow_expires_on is not None and p.shadow_expires_on < today
    return p.shadow_status is CardStatus.ACTIVE and not expired


def _plan_balance(draft: _Draft, p: Presence, rules: LinkRules, today: date) -> None:
    owed = draft.card.balance_minor - p.shadow_minor
    cause = _cause(draft.card, p, ConflictKind.NOT_WRITABLE)
    side = rules.sides[p.side]
    allowed = side.credits if owed > 0 else side.debits
    writable = allowed and (_is_spendable(p, today) or side.moves_when_suspended)
    closes = draft.card.status is CardStatus.CLOSED and CardStatus.CLOSED in side.sets_status
    if owed == 0 or p.shadow_status is CardStatus.CLOSED or (closes and not writable):
        draft.causes_gone.append(cause)
        return
    if not writable:
        why = "the link does not write there" if not allowed else "it is expired or suspended there"
        draft.conflicts.append(
            NewConflict(
                ConflictKind.NOT_WRITABLE,
                cause,
                f"{p.side} shows {format_money(abs(owed), draft.card.currency)} too "
                f"{'little' if owed > 0 else 'much'}, and {why}.",
                p.side,
                abs(owed),
                "It is written as soon as that side can be.",
            )
        )
        return
    kind = EffectKind.CREDIT if owed > 0 else EffectKind.DEBIT
    draft.intents.append(NewIntent(p.side, kind, owed))
    draft.put(replace(p, shadow_minor=p.shadow_minor + owed))
    draft.causes_gone.append(cause)


# --- Outcomes of an intent ----------------------------------------------------------------------------------


def sent(card: Card, intent: Intent) -> Decision:
    """Committed before the call, so that a crash during it is known to be in doubt."""
    return Decision(card, intent_changes=(IntentChange(intent.marker, IntentState.SENT),))


def not_sent(card: Card, intent: Intent, reason: str, not_before: datetime) -> Decision:
    """Surely nothing happened in this attempt: it stays planned."""
    change = IntentChange(intent.marker, IntentState.PLANNED, reason, not_before=not_before)
    return Decision(card, intent_changes=(change,))


def doubt(
    card: Card, intent: Intent, reason: str, not_before: datetime, refusal: Refusal | None = None
) -> Decision:
    """It may have happened. Nothing may be concluded before `not_before`, the end of the quiet period."""
    change = IntentChange(
        intent.marker, IntentState.IN_DOUBT, reason, doubted=True, not_before=not_before, refusal=refusal
    )
    return Decision(card, intent_changes=(change,))


def land(
    card: Card, side: str, intent: Intent, landings: int, native_id: str, reference: str = ""
) -> Decision:
    """The effect is on the side. The shadow has it since it was planned; a second landing is an echo."""
    draft = _Draft(card)
    draft.intent_changes.append(
        IntentChange(intent.marker, IntentState.APPLIED, reference, landings=landings)
    )
    draft.put(
        replace(
            _without(draft.presence(side), intent), native_id=native_id, born=True, refusal=None, refusals=0
        )
    )
    if landings > 1 and intent.amount_minor:
        _echo(draft, side, intent.marker, intent.amount_minor, landings - 1)
    for kind in (*_REFUSAL_KINDS, ConflictKind.IN_DOUBT):
        draft.causes_gone.append(_cause(card, draft.presence(side), kind))
    return draft.decision()


def refuse(
    card: Card, side: str, intent: Intent, refusal: Refusal, reason: str, native_id: str | None = None
) -> Decision:
    """The side said no: the promise is withdrawn, and what follows is planned only after a fresh look.

    Intents queued behind it that were never tried rest on the same promise; they are withdrawn with it.
    """
    draft = _Draft(card)
    withdrawn = [intent] + [
        i
        for i in card.presence(side).open_intents
        if i.sequence > intent.sequence and i.state is IntentState.PLANNED and not i.doubted
    ]
    for position, taken_back in enumerate(reversed(withdrawn)):
        last = position == len(withdrawn) - 1
        state = IntentState.REFUSED if last else IntentState.WITHDRAWN
        why = reason if last else "an earlier intent was refused"
        draft.intent_changes.append(
            IntentChange(taken_back.marker, state, why, refusal=refusal if last else None)
        )
        draft.put(_withdraw(draft.presence(side), taken_back))
    p = draft.presence(side)
    native_id = p.native_id or native_id
    draft.put(replace(p, native_id=native_id, stale=True, refusal=refusal, refusals=p.refusals + 1))
    return draft.decision()


def absent(card: Card, side: str, intent: Intent) -> Decision:
    """After the quiet period the marker is surely not there: planned again, or refused as it was."""
    if intent.refusal is not None:
        return refuse(card, side, intent, intent.refusal, "refused; an earlier attempt did not land")
    change = IntentChange(intent.marker, IntentState.PLANNED, "read back: it did not land")
    return Decision(card, intent_changes=(change,))


def unclear(card: Card, side: str, intent: Intent, reason: str, not_before: datetime) -> Decision:
    """Neither can be told. Asked again for a while; then a person decides, and the presence waits."""
    reads = intent.unclear_reads + 1
    change = IntentChange(
        intent.marker, IntentState.IN_DOUBT, reason, not_before=not_before, unclear_reads=reads
    )
    conflicts: tuple[NewConflict, ...] = ()
    if reads >= UNCLEAR_READS_MAX:
        p = card.presence(side)
        conflicts = (
            NewConflict(
                ConflictKind.IN_DOUBT,
                _cause(card, p, ConflictKind.IN_DOUBT),
                f"A request to {side} may have taken effect, and {side} cannot tell: {reason}.",
                side,
                abs(intent.amount_minor),
                "Look at the card on that side and say whether it landed.",
                {"marker": intent.marker, "kind": intent.kind.value},
            ),
        )
    return Decision(card, intent_changes=(change,), conflicts=conflicts)


def _without(p: Presence, intent: Intent) -> Presence:
    return replace(p, open_intents=tuple(i for i in p.open_intents if i.marker != intent.marker))


def _withdraw(p: Presence, intent: Intent) -> Presence:
    p = replace(_without(p, intent), shadow_minor=p.shadow_minor - intent.amount_minor)
    if intent.kind is EffectKind.SET_STATUS and intent.status_before is not None:
        return replace(p, shadow_status=intent.status_before)
    if intent.kind is EffectKind.SET_EXPIRY:
        return replace(p, shadow_expires_on=intent.expires_before)
    return p


# --- Words --------------------------------------------------------------------------------------------------

_HOLD_CONFLICT = {
    Hold.MISSING: ConflictKind.MISSING,
    Hold.STATUS: ConflictKind.STATUS,
    Hold.CURRENCY: ConflictKind.CURRENCY,
}

_REFUSAL_CONFLICT = {
    Refusal.OVER_LIMIT: ConflictKind.OVER_LIMIT,
    Refusal.BAD_SERIAL: ConflictKind.SERIAL,
    Refusal.TAKEN: ConflictKind.SERIAL,
    Refusal.CURRENCY: ConflictKind.CURRENCY,
}

#: What a refusal can open, and a change of the card there or a success closes.
_REFUSAL_KINDS = (ConflictKind.REFUSED, ConflictKind.OVER_LIMIT, ConflictKind.SERIAL)


def _cause(card: Card, p: Presence, kind: ConflictKind) -> str:
    return f"{kind}:{p.side}"


def _refusal_conflict(card: Card, p: Presence) -> NewConflict:
    refusal = p.refusal or Refusal.OTHER
    kind = _REFUSAL_CONFLICT.get(refusal, ConflictKind.REFUSED)
    owed = card.balance_minor - p.shadow_minor
    return NewConflict(
        kind,
        _cause(card, p, kind),
        _REFUSED_WORDS.get(kind, _REFUSED_OTHERWISE).format(side=p.side, refusal=refusal.value),
        p.side,
        abs(owed),
        "Mend the cause on that side, then say retry.",
        {"refusal": refusal.value, "owed_minor": owed},
    )


_REFUSED_OTHERWISE = "{side} refused a change ({refusal}), and looking at the card does not explain why."
_REFUSED_WORDS = {
    ConflictKind.OVER_LIMIT: "{side} allows less money on one card than is to be on this one.",
    ConflictKind.SERIAL: "{side} cannot hold the card's number, or has given it to another card ({refusal}).",
}


def _currency_words(card: Card, side: str, seen: Seen) -> str:
    return f"{side} holds the card in {seen.currency}, the hub in {card.currency}; nothing is converted."


def _status_conflict(card: Card, side: str, theirs: CardStatus, chosen: CardStatus) -> NewConflict:
    return NewConflict(
        ConflictKind.STATUS,
        f"status:{side}:{card.version}",
        f"Two sides changed the status differently ({card.status} and {theirs}); {chosen} is taken.",
        side,
        proposal="The more restrictive status wins. Acknowledge it, or change it on a side.",
    )


def _expiry_conflict(card: Card, side: str, theirs: date | None, chosen: date | None) -> NewConflict:
    return NewConflict(
        ConflictKind.EXPIRY,
        f"expiry:{side}:{card.version}",
        f"Two sides changed the expiry differently ({card.expires_on} and {theirs}); {chosen} is taken.",
        side,
        proposal="The earlier date wins. Acknowledge it, or change it on a side.",
    )


def _earlier(one: date | None, other: date | None) -> date | None:
    """The more restrictive of two expiry dates; None never expires."""
    if one is None or other is None:
        return one or other
    return min(one, other)
