"""Historical cards are imported while the process is killed again and again; the money is counted at the end.

The small story runs with every test run. The whole one, with 100,000 cards and ten kills:

    pytest tests/scenarios/test_import_kills.py -m slow
"""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.importing import Merchant, merchant, outcome

LOOK_SECONDS = 0.1


def import_with_kills(shop: Merchant, kills: int) -> None:
    """Plan, then apply and kill it by SIGKILL `kills` times on the way."""
    chance = random.Random(11)
    total = sum(row["cards"] for row in shop.finish("import", "plan", *_files(shop))["actions"].values())
    for turn in range(kills):
        # Both ways of making cards are cut short.
        how = "--bulk" if turn % 2 else "--live"
        wanted = total * (turn + 1) // (kills + 1)
        process = shop.run_until(wanted, "import", "apply", str(shop.plan), "--yes", how)
        while process.poll() is None and shop.rows_begun() < wanted:
            _wait(process, LOOK_SECONDS)
        _wait(process, chance.random())
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"the import ended by itself with {process.returncode}: {out} {err}")


def _files(shop: Merchant) -> tuple[str, ...]:
    return "--pos", str(shop.folder / "cards.csv"), "-o", str(shop.plan)


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def story(folder: Path, *, pos: int, online: int, kills: int) -> None:
    with merchant(folder, pos=pos, online=online) as shop:
        shop.write_export(0.03)
        before = outcome(shop)

        import_with_kills(shop, kills)
        last = shop.finish("import", "apply", str(shop.plan), "--yes")

        # The spoilt rows of the export wait for a person, so it ends with 1.
        assert (last["done"], last["errors"], last["adds_up"], last["code"]) == (True, [], True, 1), last
        after = outcome(shop)
        # Clean store cards came to Shopify, every online card came to the store; nothing else moved.
        assert after.shopify_minor == before.shopify_minor + sum(shop.clean.values())
        assert after.flow_minor == before.flow_minor + before.shopify_minor
        assert (after.wrong_online, after.wrong_pos, after.codes_twice, after.notifications) == (0, 0, 0, 0)
        again = shop.finish("import", "apply", str(shop.plan), "--yes", "--no-check")
        assert (again["done"], again["progress"]["made"]) == (True, 0)
        assert outcome(shop) == after


@pytest.mark.timeout(900)
def test_given_2000_cards_and_3_kills_then_the_money_agrees_and_nobody_is_told(tmp_path: Path) -> None:
    story(tmp_path, pos=1_900, online=100, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(14_400)
def test_given_100000_cards_and_10_kills_then_the_money_agrees_and_nobody_is_told(tmp_path: Path) -> None:
    story(tmp_path, pos=95_000, online=5_000, kills=10)
