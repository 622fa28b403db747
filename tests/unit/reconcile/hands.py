"""A worker's hands without a ledger: what is committed is kept, and the side answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from connectors.api.capabilities import Capabilities
from connectors.api.card import CardRef, Observation
from connectors.api.effect import Applied, Effect, EffectKind, FindResult, Save
from connectors.api.errors import SideClosed
from connectors.memory import CAPABILITIES
from mappings.lifecycle import CardStatus
from mappings.serials import Serial
from sync.ledger.cards.store import Lease, Release
from sync.model import Card, Decision, Intent, IntentState, LinkRules, Presence, SideRules
from sync.reconcile.work import Link, Work

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
A, B = "a", "b"
QUIET_SECONDS = 60.0


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def presence(side: str, shadow_minor: int = 100, **more: Any) -> Presence:
    base = Presence(side, f"{side}-1", Serial("12345678"), "5678", shadow_minor, CardStatus.ACTIVE, None)
    return replace(base, **more)


def card(*intents: Intent, **more: Any) -> Card:
    """A card on two sides, with these intents on the second."""
    made = Card("NOK", 80, CardStatus.ACTIVE, None, (presence(A, 80), presence(B, 80, open_intents=intents)))
    return replace(made, **more)


def intent(kind: EffectKind = EffectKind.DEBIT, amount_minor: int = -20, **more: Any) -> Intent:
    base = Intent("gs-1", B, kind, IntentState.PLANNED, 1, amount_minor)
    return replace(base, **more)


class Side:
    """Answers with what it is given, or raises it; remembers what it was asked."""

    def __init__(self, name: str, answers: Sequence[Any] = (), **capabilities: Any) -> None:
        self.name = name
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []
        self.capabilities: Capabilities = replace(CAPABILITIES, **{"lists_entries": False} | capabilities)
        self.saves: Mapping[str, str] | None = None

    def _answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def apply(self, effect: Effect, save: Save) -> Applied:
        if self.saves is not None:
            save(self.saves)
        answer: Applied = self._answer("apply", effect)
        return answer

    def find(self, effect: Effect) -> FindResult:
        answer: FindResult = self._answer("find", effect)
        return answer

    def lookup(self, serial: Serial) -> Observation:
        answer: Observation = self._answer("lookup", serial)
        return answer

    def observe(self, cards: Sequence[CardRef], entries: bool = False) -> Sequence[Observation]:
        answer = self._answer("observe", tuple(cards), entries)
        return answer if isinstance(answer, list) else [answer]


class Ledger:
    """Takes decisions as the store does, as far as an attempt goes."""

    engine = "engine"
    vault = "vault"

    def __init__(self) -> None:
        self.decisions: list[Decision] = []
        self.times: list[tuple[datetime, int | None]] = []
        self.saved: list[tuple[Any, ...]] = []
        self.doubted: frozenset[str] = frozenset()
        self.cards: dict[int, Card | Exception] = {}

    def commit(
        self,
        lease: Lease,
        before: Card,
        decision: Decision,
        now: datetime,
        run_id: int | None,
        release: Release | None = None,
    ) -> Card:
        assert isinstance(before, Card)
        if release is not None:
            self.saved.append(("release", lease.fencing, release.due_at, release.awaits_side))
        made, card = decision != Decision(before), decision.card
        if made:
            self.decisions.append(decision)
            self.times.append((now, run_id))
        for change in decision.intent_changes:
            known = next((i for i in card.open_intents if i.marker == change.marker), None)
            if known is not None:
                card = card.with_intent(
                    replace(
                        known,
                        state=change.state,
                        doubted=known.doubted if change.doubted is None else change.doubted,
                        not_before=change.not_before,
                        look_at=change.look_at,
                    )
                )
        return card

    def save_progress(
        self, lease: Lease, card: Card, marker: str, progress: Mapping[str, str], *, lazily: bool = False
    ) -> Card:
        self.saved.append(("progress", lease.fencing, marker, dict(progress)))
        known = next(i for i in card.open_intents if i.marker == marker)
        return card.with_intent(replace(known, progress=progress))

    def save_look(self, lease: Lease, marker: str, look_at: datetime) -> None:
        self.saved.append(("look", lease.fencing, marker, look_at))

    def renew(self, lease: Lease, now: datetime, seconds: float) -> Lease:
        self.saved.append(("renew", lease.fencing, now, seconds))
        return replace(lease, until=now + timedelta(seconds=seconds))

    def load(self, card_id: int) -> Card:
        found = self.cards[card_id]
        if isinstance(found, Exception):
            raise found
        return found

    def release(self, lease: Lease, due_at: datetime | None, awaits_side: bool = False) -> None:
        self.saved.append(("release", lease.fencing, due_at, awaits_side))

    def doubted_sides(self, card_id: int) -> frozenset[str]:
        self.saved.append(("doubted", card_id))
        return self.doubted


@dataclass
class Hands:
    """One worker's hold on a card, and everything that it was seen doing."""

    side: Side = field(default_factory=lambda: Side(B))
    other: Side = field(default_factory=lambda: Side(A))
    until: datetime = NOW + timedelta(seconds=120)
    due_for: str | None = None
    now: datetime = NOW
    ended_at: datetime | None = None
    ledger: Ledger = field(default_factory=Ledger)
    #: What the side was found to do, what the brake was asked, which sides need a person.
    noted: list[tuple[Any, ...]] = field(default_factory=list)
    seen: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:

        def note(what: str) -> Callable[..., bool]:
            def noted(engine: object, *more: Any) -> bool:
                self.noted.append((what, *more))
                return False

            return noted

        outages = SimpleNamespace(
            ended_at=lambda name: self.ended_at, failed=note("failed"), answered=note("answered")
        )
        brake = SimpleNamespace(spend=note("brake"))

        def closed(name: str, error: SideClosed) -> None:
            self.noted.append(("closed", name, error))

        link = Link(
            store=self.ledger,  # type: ignore[arg-type]
            sides={A: self.other, B: self.side},  # type: ignore[dict-item]
            rules=LinkRules({A: SideRules(), B: SideRules()}),
            clock=lambda: self.now,
            timezone=ZoneInfo("Europe/Oslo"),
            owner="worker 1",
            currency="NOK",
            quiet_seconds=QUIET_SECONDS,
            brake=brake,  # type: ignore[arg-type]
            outages=outages,  # type: ignore[arg-type]
            on_closed=closed,
        )
        lease = Lease(7, "worker 1", 3, self.until, self.due_for)
        self.work = Work(link, lease, 5, lambda name, record: self.seen.append((name, record)))

    @property
    def decided(self) -> list[Decision]:
        return self.ledger.decisions
