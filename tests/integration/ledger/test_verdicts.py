"""What was proved about a side, and the notes of a probe, on both databases."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from connectors.api.doctor import Finding, Verdict
from sync.ledger.database.engine import open_engine
from sync.ledger.sides.verdicts import ProbeJournal, Verdicts
from tests.support import Clock


def finding(verdict: Verdict, sentence: str = "So it is.") -> Finding:
    return Finding("api_settlement_debits", verdict, sentence, evidence={"order": "7", "moved": True})


def test_the_newest_verdict_counts(engine: Engine, clock: Clock) -> None:
    verdicts = Verdicts(engine, "flow", "7/70")
    assert verdicts.known() == {}
    verdicts.record(finding(Verdict.WARNING, "Not so."), clock())
    verdicts.record(finding(Verdict.OK), clock.advance(60))
    (known,) = verdicts.known().values()
    assert (known.verdict, known.sentence, known.at) == (Verdict.OK, "So it is.", clock())
    assert known.at - timedelta(seconds=60) < clock()


def test_a_verdict_is_of_one_side_and_one_place(engine: Engine, clock: Clock) -> None:
    Verdicts(engine, "flow", "7/70").record(finding(Verdict.OK), clock())
    assert Verdicts(engine, "flow", "7/71").known() == {}
    assert Verdicts(engine, "shopify", "7/70").known() == {}
    # The new place's verdict takes the old one's: a ledger has one side of each name.
    Verdicts(engine, "flow", "7/71").record(finding(Verdict.OK), clock())
    assert Verdicts(engine, "flow", "7/70").known() == {}


def test_a_ledger_of_before_has_none() -> None:
    engine = open_engine("sqlite://")
    assert Verdicts(engine, "flow", "7/70").known() == {}
    engine.dispose()


def test_a_probe_is_noted_until_it_is_over(engine: Engine, clock: Clock) -> None:
    journal = ProbeJournal(engine, "flow", "7/70", clock())
    assert journal.load() is None
    journal.save({"card": "1", "moves": []})
    journal.save({"card": "1", "moves": [{"marker": "gs-x"}]})
    assert ProbeJournal(engine, "flow", "7/70", clock()).load() == {
        "card": "1",
        "moves": [{"marker": "gs-x"}],
    }
    assert ProbeJournal(engine, "shopify", "kaffe.myshopify.com", clock()).load() is None
    journal.clear()
    assert journal.load() is None
