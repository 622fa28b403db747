"""The template of a connector keeps the contract, over HTTP and through a proxy that loses and breaks
answers."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import util
from pathlib import Path

import pytest

from connectors.api.errors import InDoubt, Throttled
from connectors.kit.contract import SideContract, contract_for
from connectors.kit.world import Mishap, Saved

EXAMPLE = Path(__file__).parents[2] / "examples" / "connector"


def _load(name: str, path: Path) -> object:
    """A module of the template, which is no package of this repository."""
    spec = util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_load("giftsync_kassa", EXAMPLE / "giftsync_kassa.py")
KASSA = _load("kassa_tests", EXAMPLE / "tests" / "test_kassa.py")

TestKassa = contract_for(KASSA.kassa_world)  # type: ignore[attr-defined]


def test_the_template_is_short_enough_to_be_read() -> None:
    assert len((EXAMPLE / "giftsync_kassa.py").read_text(encoding="utf-8").splitlines()) < 250


@pytest.mark.parametrize("kind", list(Mishap))
def test_given_each_accident_on_the_way_then_asking_again_moves_the_money_once(kind: Mishap) -> None:
    with KASSA.kassa_world() as world:  # type: ignore[attr-defined]
        card = world.sell(100_00)
        effect = SideContract().debit(world, card, 30_00)
        world.fail_next(kind)
        with suppress(InDoubt, Throttled):
            world.side.apply(effect, Saved())
        world.settle_late()
        world.side.apply(effect, Saved())

        assert world.balance(card) == 70_00
