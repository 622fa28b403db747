"""The doctor's visit: every side is examined, and compared with each other and with the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from cli.build import Ledger, ledger_exists, now, open_ledger, webhook_url
from config.settings import Settings
from connectors.api.capabilities import Identity
from connectors.api.doctor import (
    Examinable,
    ExaminationReport,
    Expectations,
    Finding,
    ProbeContext,
    Verdict,
)
from connectors.api.errors import SideError
from mappings.sentences import say
from mappings.serials import Serial
from sync.ledger.cards.store import random_marker
from sync.ledger.sides.identities import known_side
from sync.ledger.sides.verdicts import ProbeJournal, Verdicts

LINK = "link"


@dataclass
class Diagnosis:
    """Everything that was found out, by side; `link` has what concerns all of them."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, side: str, finding: Finding) -> None:
        self.findings.setdefault(side, []).append(finding)

    def count(self, verdict: Verdict) -> int:
        return sum(one.verdict is verdict for found in self.findings.values() for one in found)


@contextmanager
def ledger_if_any(settings: Settings) -> Iterator[Ledger | None]:
    """The ledger; None where there is none yet: looking makes none."""
    with open_ledger(settings) if ledger_exists(settings) else nullcontext() as ledger:
        yield ledger


def examine(
    settings: Settings, examinables: Mapping[str, Examinable], ledger: Ledger | None, card: Serial | None
) -> Diagnosis:
    """Ask every side, and compare what they say."""
    visit, identities = Diagnosis(), {}
    for name, examinable in examinables.items():
        known = {} if ledger is None else Verdicts(ledger.engine, name, examinable.known_as).known()
        link = settings.link
        found: ExaminationReport = examinable.examine(
            Expectations(link.currency, link.timezone, known, card, webhook_url(settings, name))
        )
        visit.findings[name] = list(found.findings)
        if found.identity is not None:
            identities[name] = found.identity
            stranger = stranger_to(name, found.identity, ledger)
            if stranger is not None:
                visit.add(name, stranger)
    if len(identities) == len(examinables) > 1:
        visit.add(LINK, _one_currency(identities))
    for name, first in same_systems(identities).items():
        visit.add(LINK, _same_system(name, first, identities[name]))
    return visit


def same_systems(identities: Mapping[str, Identity]) -> dict[str, str]:
    """The sides that are the same system as one before them, with that one."""
    first: dict[str, str] = {}
    met = {name: first.setdefault(found.identity, name) for name, found in identities.items()}
    return {name: before for name, before in met.items() if name != before}


def _same_system(name: str, first: str, identity: Identity) -> Finding:
    return Finding(
        "same_system",
        Verdict.MISSING,
        say(
            "{side} and {side2} are the same system, {identity}: each payment would count twice.",
            side=first,
            side2=name,
            identity=identity.identity,
        ),
        say("Correct the address of one, or take one of the two out of the configuration."),
    )


def stranger_to(side: str, found: Identity, ledger: Ledger | None) -> Finding | None:
    """Whether the side is another one than this ledger was made with."""
    known = None if ledger is None else known_side(ledger.engine, side)
    if known is None or (known.identity, known.currency) == (found.identity, found.currency):
        return None
    return Finding(
        "ledger",
        Verdict.MISSING,
        say(
            "The ledger was made with {known} in {currency}; this is {found} in {other}.",
            known=known.identity,
            currency=known.currency,
            found=found.identity,
            other=found.currency,
        ),
        say("Correct the address and token, or name another `database` for another shop or store."),
    )


def _one_currency(identities: Mapping[str, Identity]) -> Finding:
    currencies = {identity.currency for identity in identities.values()}
    if len(currencies) == 1:
        return Finding("currency", Verdict.OK, _all(len(identities), currencies.pop()))
    words = ", ".join(f"{name} in {identity.currency}" for name, identity in identities.items())
    return Finding(
        "currency",
        Verdict.MISSING,
        say("The sides have different currencies: {words}.", words=words),
        say("Link sides of one currency only; giftsync never converts."),
    )


def _all(sides: int, currency: str) -> str:
    if sides == 2:
        return say("Both sides keep their cards in {currency}.", currency=currency)
    return say("All {count} sides keep their cards in {currency}.", count=sides, currency=currency)


def probe(
    settings: Settings, name: str, examinable: Examinable, ledger: Ledger, card: Serial
) -> Iterator[Finding]:
    """Try on the card what reading cannot tell; each verdict is kept before it is given."""
    at = now()
    context = ProbeContext(
        card,
        ProbeJournal(ledger.engine, name, examinable.known_as, at),
        settings.link.quiet_seconds,
        random_marker,
    )
    kept = Verdicts(ledger.engine, name, examinable.known_as)
    known = kept.known()
    for finding in examinable.probe(context):
        # What could not be tried now takes nothing away from what is known.
        if finding.point != "probe" and not (finding.verdict is Verdict.UNKNOWN and finding.point in known):
            kept.record(finding, now())
        yield finding


def broken_off(error: SideError, remedy: str) -> Finding:
    """The last finding of a probe that a side's error ended."""
    return Finding("probe", Verdict.WARNING, say("Not tried to the end: {error}.", error=str(error)), remedy)
