"""What the doctors of sides find in the same way."""

from __future__ import annotations

from connectors.api.card import CardRef, Seen
from connectors.api.doctor import ExaminationReport, Expectations, Finding, Known, Verdict
from connectors.api.errors import InDoubt, SideClosed
from connectors.api.side import Side
from mappings.sentences import Sentence, say


def error_finding(point: str, verdict: Verdict, error: Exception, remedy: str = "") -> Finding:
    """A finding in the words of an error."""
    return Finding(point, verdict, error_sentence(error), remedy)


def error_sentence(error: Exception) -> str:
    """An error's words as a sentence of their own."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def shown_otherwise(known: Known) -> Sentence:
    """What is said of a point that a probe has shown not to be so."""
    return say("The probe showed otherwise: {finding}", finding=known.sentence)


def no_access(error: Exception, remedy: str) -> ExaminationReport:
    """The side could not be asked; `remedy` is for what the side itself did not say how to mend."""
    remedy = error.remedy if isinstance(error, SideClosed) else remedy
    return ExaminationReport([error_finding("access", Verdict.MISSING, error, remedy)])


def other_currency(currency: str, wanted: Expectations, remedy: str) -> list[Finding]:
    """That the side's table names another currency than the link, of a system that does not tell its own."""
    if wanted.currency in (None, currency):
        return []
    sentence = say(
        "The side's table says {currency}, and the link {wanted}.", currency=currency, wanted=wanted.currency
    )
    return [Finding("currency", Verdict.MISSING, sentence, remedy)]


def read_test_card(side: Side, card: CardRef, *, entries: bool = False) -> Seen:
    """What the probe's card holds. Raises InDoubt for one that is not shown so that it can be believed."""
    (shown,) = side.observe([card], entries=entries)
    if isinstance(shown, Seen):
        return shown
    raise InDoubt(f"the test card cannot be read: {getattr(shown, 'reason', 'it is not there')}")
