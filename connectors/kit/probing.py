"""Moving a little money on a test card and back, so that the card is left as it was whatever happens.

Each move is an ordinary effect with a marker. It is noted before it is sent, so that the next probe can find
out what an interrupted one has done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import combinations
from typing import Any, Final, Protocol

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import Finding, ProbeContext, Verdict
from connectors.api.effect import Applied, CannotTell, Effect, EffectKind, FindResult, Found, Save
from connectors.api.errors import (
    InDoubt,
    NotSent,
    Refused,
    SideClosed,
    SideError,
    Throttled,
)
from mappings.sentences import Money, Sentence, in_a_row, say
from mappings.serials import mask

ATTEMPTS_MAX: Final = 4
RETRY_SECONDS: Final = 2.0
#: What to do after `no_such_card`.
NAME_A_CARD: Final = say("Name a card by its whole number.")


class Outcome(StrEnum):
    #: Not known yet: it is under way, or the probe was cut short.
    OPEN = "open"
    LANDED = "landed"
    #: Surely not carried out.
    REFUSED = "refused"
    #: Neither can be shown.
    UNCLEAR = "unclear"


class EffectPort(Protocol):
    """What carries effects out and finds them again: a side, or a part of one."""

    def apply(self, effect: Effect, save: Save) -> Applied: ...

    def find(self, effect: Effect) -> FindResult: ...


@dataclass
class Move:
    """One effect of the probe."""

    marker: str
    kind: EffectKind
    amount_minor: int
    outcome: Outcome = Outcome.OPEN
    #: Why it was refused or is unclear.
    reason: str = ""
    #: What the effect saved on its way.
    progress: dict[str, str] = field(default_factory=dict)

    @property
    def signed_minor(self) -> int:
        return self.amount_minor if self.kind is EffectKind.CREDIT else -self.amount_minor

    @property
    def landed(self) -> bool:
        return self.outcome is Outcome.LANDED


@dataclass
class Trial:
    """What the probe does on one card."""

    card: CardRef
    last_chars: str
    currency: str
    before_minor: int
    context: ProbeContext
    pause: Callable[[float], None]
    moves: list[Move] = field(default_factory=list)
    #: What else is to be put back, in the connector's own words.
    extra: dict[str, Any] = field(default_factory=dict)

    def move(self, port: EffectPort, kind: EffectKind, amount_minor: int) -> Move:
        """Carry one effect out and find out for sure what became of it, if that can be found out."""
        move = Move(self.context.new_marker(), kind, amount_minor)
        self.moves.append(move)
        self.note()
        for _ in range(ATTEMPTS_MAX):
            if self._try(port, move):
                break
        else:
            # Each attempt was surely not carried out.
            move.outcome = Outcome.REFUSED
        self.note()
        return move

    def note(self) -> None:
        """Write down where the probe is."""
        self.context.journal.save(
            {
                "card": self.card.native_id,
                "last_chars": self.last_chars,
                "currency": self.currency,
                "before_minor": self.before_minor,
                "moves": [asdict(move) for move in self.moves],
                "extra": dict(self.extra),
            }
        )

    def _try(self, port: EffectPort, move: Move) -> bool:
        """One attempt; True once the outcome is sure, or surely cannot be told."""

        def save(progress: Mapping[str, str], /, *, lazily: bool = False) -> None:
            self._keep(move, progress)

        try:
            port.apply(self._effect(move), save)
        except (Refused, SideClosed) as error:
            move.outcome, move.reason = Outcome.REFUSED, str(error)
            return True
        except (NotSent, Throttled) as error:
            move.reason = str(error)
            self.pause(getattr(error, "wait_seconds", RETRY_SECONDS))
            return False
        except InDoubt as error:
            move.reason = str(error)
            return self.look(port, move)
        move.outcome, move.reason = Outcome.LANDED, ""
        return True

    def look(self, port: EffectPort, move: Move) -> bool:
        """Find out what became of a move whose answer was lost; False: it may be sent again."""
        for _ in range(ATTEMPTS_MAX):
            self.pause(self.context.quiet_seconds)
            try:
                found = port.find(self._effect(move))
            except SideError as error:
                move.reason = str(error)
                continue
            match found:
                case Found():
                    move.outcome, move.reason = Outcome.LANDED, ""
                    return True
                case CannotTell(reason=reason):
                    move.outcome, move.reason = Outcome.UNCLEAR, reason
                    return True
            return False
        move.outcome = Outcome.UNCLEAR
        return True

    def _keep(self, move: Move, progress: Mapping[str, str]) -> None:
        move.progress.update(progress)
        self.note()

    def _effect(self, move: Move) -> Effect:
        return Effect(
            move.marker,
            move.kind,
            self.card,
            self.currency,
            amount_minor=move.amount_minor,
            progress=dict(move.progress),
        )

    # Putting back.

    @property
    def net_minor(self) -> int:
        """What the moves that surely landed come to."""
        return sum(move.signed_minor for move in self.moves if move.landed)

    def left_minor(self, balance_minor: int) -> int | None:
        """How much more the card holds than before because of the probe; None: that cannot be told.

        Moves that are clear tell it, whatever else happens on the card. One that is unclear is told from the
        balance: hardly anybody else uses a test card.
        """
        left = balance_minor - self.before_minor
        unclear = [move.signed_minor for move in self.moves if move.outcome is Outcome.UNCLEAR]
        if left == 0:
            # Also when a person has put it right.
            return 0
        if not unclear:
            return self.net_minor
        sums = {
            self.net_minor + sum(some)
            for size in range(len(unclear) + 1)
            for some in combinations(unclear, size)
        }
        return left if left in sums else None

    def put_back(self, ports: Mapping[EffectKind, Sequence[EffectPort]], balance_minor: int) -> None:
        """Undo what is left of the moves, as far as it can be told and done."""
        left = self.left_minor(balance_minor)
        if not left:
            return
        kind = EffectKind.DEBIT if left > 0 else EffectKind.CREDIT
        for port in ports.get(kind, ()):
            # Another way is tried only when this one surely did nothing.
            if self.move(port, kind, abs(left)).outcome is not Outcome.REFUSED:
                return

    def end(
        self, ports: Mapping[EffectKind, Sequence[EffectPort]], read: Callable[[CardRef], Seen]
    ) -> Finding:
        """Put the card back as it was, as far as that can be done, and say how it is by the last finding."""
        try:
            self.put_back(ports, read(self.card).balance_minor)
            return self.ending(read(self.card).balance_minor)
        except SideError as error:
            return self.unread(error)

    def ending(self, balance_minor: int, *, also: str = "") -> Finding:
        """The last finding of a probe: the card is as it was, or exactly what is left."""
        left, card = self.left_minor(balance_minor), mask(self.last_chars)
        markers = ",".join(move.marker for move in self.moves if move.landed)
        evidence = {"left_minor": left, "landed": markers}
        if left == 0 and not also:
            self.context.journal.clear()
            return Finding("probe", Verdict.OK, self._as_before(card, balance_minor), evidence=evidence)
        if left is None:
            # Trying again would tell no more.
            self.context.journal.clear()
            remedy = say("Look at the card's movements: what carries a mark of giftsync is of the probe.")
            sentence = say(
                "What the probe has left on the card {card} cannot be told: it now holds {balance}, and "
                "{before} before.",
                card=card,
                balance=self._money(balance_minor),
                before=self._money(self.before_minor),
            )
        else:
            remedy = say("Run the probe again with the same card to put it back, or put it right by hand.")
            sentence = self._as_before(card, balance_minor) if left == 0 else self._left(card, left)
        return Finding(
            "probe", Verdict.WARNING, in_a_row([sentence, also] if also else [sentence]), remedy, evidence
        )

    def unread(self, error: Exception) -> Finding:
        """The last finding when the card cannot be read: what surely landed tells what is left."""
        net = self.net_minor
        known = (
            say("by all that is known it holds as much as before")
            if net == 0
            else say("by all that is known it holds {amount} more than before", amount=self._money(net))
            if net > 0
            else say("by all that is known it holds {amount} less than before", amount=self._money(-net))
        )
        return Finding(
            "probe",
            Verdict.WARNING,
            say(
                "The card {card} could not be read at the end ({error}); {known}.",
                card=mask(self.last_chars),
                error=str(error),
                known=known,
            ),
            say("Run the probe again with the same card to make sure."),
            {"left_minor": net},
        )

    def _as_before(self, card: str, balance_minor: int) -> Sentence:
        if balance_minor == self.before_minor:
            now = self._money(balance_minor)
            return say("The card {card} holds {balance} as before the probe.", card=card, balance=now)
        return say(
            "Nothing of the probe is left on the card {card}; somebody else used it meanwhile.", card=card
        )

    def _left(self, card: str, left_minor: int) -> Sentence:
        amount = self._money(abs(left_minor))
        if left_minor > 0:
            return say("The card {card} is left with {amount} more than before.", card=card, amount=amount)
        return say("The card {card} is left with {amount} less than before.", card=card, amount=amount)

    def _money(self, minor: int) -> Money:
        return Money(minor, self.currency)


def no_such_card(system: str, card: str) -> Sentence:
    """Why nothing was tried on the card, as masked, that `system` does not show."""
    return say("{system} shows no card {card}.", system=system, card=card)


def proved_that(claim: str) -> Sentence:
    return say("Proved: {claim}.", claim=claim)


def not_so_that(claim: str) -> Sentence:
    return say("Not so: that {claim}.", claim=claim)


def sent_twice(point: str, error: SideError) -> Finding:
    """The finding of a repetition after which the card could not be read."""
    words = say("It was sent twice, and then {error}.", error=str(error))
    return Finding(point, Verdict.UNKNOWN, words, say("Try again."))


def not_probed(sentence: str, remedy: str) -> Finding:
    """The only finding of a probe that did not begin."""
    return Finding("probe", Verdict.WARNING, say("Nothing was tried: {why}", why=sentence), remedy)


def put_back_earlier(
    card: CardRef,
    context: ProbeContext,
    pause: Callable[[float], None],
    port: EffectPort,
    end: Callable[[Trial], Finding],
) -> Finding | None:
    """Put back, by `end`, what an earlier probe left that was cut short.

    What keeps another one from beginning; None: nothing, and the card is to be read again.
    """
    notes = context.journal.load()
    if notes is None:
        return None
    earlier = _revived(notes, card, context, pause, port)
    if earlier is None:
        return not_probed(
            say("An earlier probe, of the card {card}, was cut short.", card=mask(str(notes["last_chars"]))),
            say("Probe that card once more first, so that it is put back."),
        )
    ending = end(earlier)
    return None if ending.verdict is Verdict.OK else ending


def _revived(
    notes: Mapping[str, Any],
    card: CardRef,
    context: ProbeContext,
    pause: Callable[[float], None],
    port: EffectPort,
) -> Trial | None:
    """An earlier probe that was cut short on this card, with each of its moves cleared up.

    None when it was on another card.
    """
    if notes["card"] != card.native_id:
        return None
    trial = Trial(
        card,
        str(notes["last_chars"]),
        str(notes["currency"]),
        int(notes["before_minor"]),
        context,
        pause,
        [_move_of(one) for one in notes["moves"]],
        dict(notes["extra"]),
    )
    for move in trial.moves:
        if move.outcome in (Outcome.OPEN, Outcome.UNCLEAR) and not trial.look(port, move):
            move.outcome = Outcome.REFUSED
    trial.note()
    return trial


def _move_of(notes: Mapping[str, Any]) -> Move:
    return Move(
        str(notes["marker"]),
        EffectKind(notes["kind"]),
        int(notes["amount_minor"]),
        Outcome(notes["outcome"]),
        str(notes["reason"]),
        {str(name): str(value) for name, value in notes["progress"].items()},
    )
