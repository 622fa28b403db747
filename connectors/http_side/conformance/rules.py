"""What a rule is, and how all of them are tried in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from connectors.api.errors import SideError, Stopping
from connectors.http_side.conformance.asking import Caller, RuleBroken, RuleNotTried, Unanswered
from connectors.http_side.conformance.receiver import Receiver
from connectors.http_side.conformance.test_card import TestCard
from connectors.http_side.model import Shop
from connectors.kit.fields import NotBelieved

#: So many rules in a row without an answer from the shop end the check: each costs minutes.
UNANSWERED_MAX: Final = 2
_REMEDY_UNANSWERED: Final = (
    "See in the shop's log what became of the request; let this key ask often enough while it is checked."
)


class Verdict(StrEnum):
    """What came of a rule."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_TRIED = "not tried"


@dataclass
class CheckRun:
    """What the rules share: who is asked, and what earlier ones found."""

    caller: Caller
    #: Whether money may be moved on a test card.
    may_move: bool
    pause: Callable[[float], None]
    receiver: Receiver | None = None
    shop: Shop | None = None
    card: TestCard | None = None
    #: The end of the changes before the test card was made; None: it was not found.
    cursor: str | None = None
    #: How many rules in a row the shop gave no answer to.
    unanswered: int = 0

    @property
    def is_given_up(self) -> bool:
        """Whether the shop has stopped answering, so that nothing more is asked."""
        return self.unanswered >= UNANSWERED_MAX

    def the_shop(self) -> Shop:
        """Raises RuleNotTried while it is not known."""
        if self.shop is None:
            raise RuleNotTried("The shop did not say who it is.")
        return self.shop

    def the_card(self) -> TestCard:
        """Raises RuleNotTried while there is none."""
        if self.card is None:
            raise RuleNotTried("There is no test card.")
        return self.card


@dataclass(frozen=True)
class Rule:
    """One rule of the contract."""

    #: Stable, for scripts.
    name: str
    sentence: str
    #: What to do about it when it is broken.
    remedy: str
    #: Tries it; what it returns is told beside a rule that is kept.
    attempt: Callable[[CheckRun], str | None]
    #: Rules that have to be kept first.
    needs: tuple[str, ...] = ()
    #: Features that the shop must claim.
    features: tuple[str, ...] = ()
    #: Whether it makes a card or moves money.
    moves: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of one rule. Never a card's number, never a key."""

    rule: Rule
    verdict: Verdict
    why: str = ""
    remedy: str = field(default="")


def try_all(rules: Sequence[Rule], run: CheckRun, kept: set[str]) -> Iterator[Outcome]:
    """Each rule's outcome as soon as it is known; those that pass are added to `kept`. Raises Stopping."""
    for rule in rules:
        outcome = _try(rule, run, kept)
        if outcome.verdict is Verdict.PASSED:
            kept.add(rule.name)
        yield outcome


def _try(rule: Rule, run: CheckRun, kept: set[str]) -> Outcome:
    hindrance = _hindrance(rule, run, kept)
    if hindrance:
        return Outcome(rule, Verdict.NOT_TRIED, hindrance)
    try:
        words = rule.attempt(run) or ""
    except RuleNotTried as error:
        return Outcome(rule, Verdict.NOT_TRIED, str(error))
    except Unanswered as error:
        run.unanswered += 1
        return Outcome(rule, Verdict.FAILED, str(error), _REMEDY_UNANSWERED if kept else rule.remedy)
    except RuleBroken as error:
        why = str(error)
    except NotBelieved as error:
        why = f"What is shown is not as agreed: {error}."
    except Stopping:
        raise
    except SideError as error:
        why = f"No answer that could be read: {error}."
    else:
        run.unanswered = 0
        return Outcome(rule, Verdict.PASSED, words)
    run.unanswered = 0
    return Outcome(rule, Verdict.FAILED, why, rule.remedy)


def _hindrance(rule: Rule, run: CheckRun, kept: set[str]) -> str:
    if run.is_given_up:
        return "The shop let the check go no further."
    if rule.moves and not run.may_move:
        return "Nothing may be moved: say --yes, or answer the question with yes."
    lacking = [one for one in rule.needs if one not in kept]
    if lacking:
        return f"It rests on {', '.join(lacking)}, which did not pass."
    features = run.shop.features if run.shop is not None else frozenset()
    unclaimed = [one for one in rule.features if one not in features]
    if unclaimed:
        return f"The shop does not claim the feature {', '.join(unclaimed)}."
    return ""
