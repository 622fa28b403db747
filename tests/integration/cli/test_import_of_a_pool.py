"""A pool file of Maestra goes in with its CVVs, and none of them is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.demo.control import Control
from cli.emulators import Address, SandboxOptions
from tests.support import Giftsync

CVVS = ("80417263", "91528374", "62739485")
HEAD = "Card number,Pool system name,Gift card CVV,Card balance,Gift card status\n"
POOLS = "PoolName,PoolSystemName,IsCvvRequired\nSecured,secured,true\nStandard,standard,false\n"


@pytest.fixture
def sandbox_options() -> SandboxOptions:
    return SandboxOptions(sides=("maestra", "shopify"), plan="plus")


def test_given_a_pool_file_with_cvvs_then_its_cards_are_online_and_no_cvv_is_stored(
    giftsync: Giftsync, address: Address, tmp_path: Path
) -> None:
    maestra, shopify = (Control(address.url(name), "NOK") for name in ("maestra", "shopify"))
    sold = [
        maestra.move("sell", 10_000 + position, pool="secured", cvv=cvv)["number"]
        for position, cvv in enumerate(CVVS)
    ]
    open_card = maestra.move("sell", 5_000)["number"]
    rows = [
        f"{n},secured,{cvv},100.0{p},CanBeUsed\n" for p, (n, cvv) in enumerate(zip(sold, CVVS, strict=True))
    ]
    rows += [f"{open_card},standard,,50.00,CanBeUsed\n", "6699887766554433,secured,,10.00,CanBeUsed\n"]
    given = tmp_path / "given"
    given.mkdir()
    (given / "cards.csv").write_text(HEAD + "".join(rows), encoding="utf-8")
    (given / "pools.csv").write_text(POOLS, encoding="utf-8")
    cards, pools, plan = str(given / "cards.csv"), str(given / "pools.csv"), str(tmp_path / "plan.csv")

    code, out, err = giftsync("import", "plan", "--pos", cards, "--pools", pools, "-o", plan)
    # The row of a pool that needs a CVV, and has none, is rejected.
    assert (code, "plan.rejects-cards.csv" in out) == (1, True), err
    code, out, err = giftsync("import", "apply", plan, "--yes", "--cvc", cards)

    assert (code, "1 card with 10.00 NOK was rejected" in out) == (1, True), out + err
    online = {card.serial: card.balance_minor for card in shopify.cards()}
    assert online == {**{number: 10_000 + p for p, number in enumerate(sold)}, open_card: 5_000}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != given]
    assert len(kept) > 3
    for path in kept:
        content = path.read_bytes()
        assert not [cvv for cvv in CVVS if cvv.encode() in content], path.name
    assert not [cvv for cvv in CVVS if cvv in out + err]
