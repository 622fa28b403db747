"""How often the overview is counted, by whether somebody watches."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from console import pulse
from console.pulse import STALE, Pulse, pause_seconds


@dataclass(frozen=True)
class _Added:
    """Totals."""

    number: int
    seconds: float


@dataclass(frozen=True)
class _Counted:
    """A picture."""

    number: int
    totals: _Added
    seconds: float
    at: int = 0


class _Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_given_nobody_watches_then_it_is_counted_seldom_and_never_stale() -> None:
    assert pause_seconds(0.01, watched=True) == 1.0
    assert pause_seconds(0.01, watched=False) == 15.0
    assert pause_seconds(0.01, watched=False) < STALE.total_seconds()
    assert pause_seconds(3.0, watched=False) == pause_seconds(3.0, watched=True) == 60.0


@dataclass
class _Ledger:
    """What is counted, and how long that takes."""

    picture_seconds: float = 0.01
    totals_seconds: float = 0.01
    taken: list[_Counted] = field(default_factory=list)
    added: list[_Added] = field(default_factory=list)

    def take(self, link: object, standing: object, totals: _Added, moved: object) -> _Counted:
        self.taken.append(_Counted(len(self.taken), totals, self.picture_seconds, len(self.taken)))
        return self.taken[-1]

    def add_up(self) -> _Added:
        self.added.append(_Added(len(self.added), self.totals_seconds))
        return self.added[-1]


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> _Ledger:
    made = _Ledger()
    monkeypatch.setattr(pulse, "take_picture", made.take)
    return made


def _pulse(ledger: _Ledger, time: _Time) -> Pulse:
    return Pulse(lambda: None, lambda totals: None, ledger.add_up, time)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("took", "counted_anew"), [(0.01, True), (3.0, False)])
def test_given_nobody_asked_for_a_while_then_who_asks_sees_what_is_true_now_unless_counting_takes_long(
    monkeypatch: pytest.MonkeyPatch, ledger: _Ledger, took: float, counted_anew: bool
) -> None:
    ledger.picture_seconds = took
    time = _Time()
    kept = _pulse(ledger, time)
    first = kept.picture()
    monkeypatch.setattr(kept._thread, "is_alive", lambda: True)

    time.now += 4.0
    assert kept.picture() is first
    time.now += 6.0
    asked = kept.picture()

    assert (asked is not first) == counted_anew
    assert kept._wanted.is_set()


@pytest.mark.parametrize(("took", "added_up"), [(0.05, 2), (3.0, 1)])
def test_given_a_decision_then_nobody_waits_for_a_look_at_every_card(
    ledger: _Ledger, took: float, added_up: int
) -> None:
    ledger.totals_seconds = took
    kept = _pulse(ledger, _Time())
    first = kept.picture()

    decided = kept.refresh()

    assert decided is not first
    assert len(ledger.added) == added_up


def test_given_a_million_cards_then_they_are_added_up_seldom_and_the_rest_is_counted_often(
    ledger: _Ledger,
) -> None:
    ledger.totals_seconds = 3.0
    time = _Time()
    kept = _pulse(ledger, time)
    kept.picture()

    for _ in range(59):
        time.now += 1.0
        kept._take(kept._kept())
    assert (len(ledger.taken), len(ledger.added)) == (60, 1)

    time.now += 1.0
    kept._take(kept._kept())
    assert ledger.taken[-1].totals.number == 1


def test_given_two_counts_at_once_then_the_one_that_began_later_stays(ledger: _Ledger) -> None:
    kept = _pulse(ledger, _Time())
    newest = kept.picture()
    ledger.taken.clear()
    object.__setattr__(newest, "at", 5)

    assert kept.refresh() is newest
    assert kept.version == 1
