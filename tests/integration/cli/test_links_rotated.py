"""A link that gets a new key: it goes on under it, and nothing of it opens under the old one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.build import open_ledger
from config.load import load
from sync.ledger.database.engine import open_engine
from sync.ledger.database.frozen import frozen
from sync.ledger.secrets.vault import VaultError
from tests.integration.cli.conftest import Run
from tests.integration.cli.test_links_moves import MOVE_STEPS, Merchant, merchant, refuses_every_write
from tests.support import Crashed

__all__ = ["merchant"]
PLACES = ["file", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param == "file":
        return ()
    return ("--postgres", request.getfixturevalue("empty_postgres"))


def key_file(merchant: Merchant) -> Path:
    path = load(merchant.config).key_file
    return merchant.config.parent / path if path is not None else merchant.config.with_name("giftsync.key")


def test_given_a_link_then_rotate_gives_it_a_new_key_and_the_old_one_opens_nothing(
    merchant: Merchant, links: Run, settings: Path, where: tuple[str, ...]
) -> None:
    merchant.begin(settings, *where)
    old, old_key = merchant.database, key_file(merchant)

    code, answer, err = links("rotate", "acme")

    assert (code, answer["findings"]) == (0, []), err
    assert answer["key"] == str(key_file(merchant))
    keys = [base64.b64decode(line) for line in key_file(merchant).read_text().split()]
    assert len(keys) == 2
    assert [keys[1]] == [base64.b64decode(line) for line in old_key.read_text().split()]
    assert key_file(merchant).stat().st_mode & 0o777 == 0o600
    assert merchant.database != old
    refuses_every_write(old)
    merchant.goes_on()
    with_old_key = load(merchant.config).model_copy(update={"key_file": str(old_key)})
    with pytest.raises(VaultError, match="does not open with this key"), open_ledger(with_old_key):
        pass
    assert links("rotate", "acme")[0] == 0
    merchant.goes_on()
    assert len(key_file(merchant).read_text().split()) == 3
    assert links("list")[1]["links"][0]["words"] == ""


@pytest.mark.parametrize(
    ("where", "step"),
    [
        *(("file", step) for step in ("move.key_made", *MOVE_STEPS)),
        *(
            pytest.param("postgres", step, marks=pytest.mark.postgres)
            for step in ("move.copying", "move.proved")
        ),
    ],
    indirect=["where"],
)
def test_given_a_rotation_that_dies_at_any_step_then_one_ledger_at_most_works_and_the_same_command_goes_on(
    merchant: Merchant,
    links: Run,
    settings: Path,
    where: tuple[str, ...],
    step: str,
    crash_at: Callable[[str], None],
) -> None:
    merchant.begin(settings, *where)
    old = merchant.database
    crash_at(step)

    with pytest.raises(Crashed):
        links("rotate", "acme")

    engine = open_engine(old)
    began = frozen(engine) is not None
    engine.dispose()
    code = merchant.run("sync", "--config", str(merchant.config))[0]
    assert code == (0 if not began or step == "move.switched" else 3)
    if step != "move.switched":
        # Whichever of the two is said, it goes on with what is under way.
        code, _, err = links("move" if began and step == "move.copied" else "rotate", "acme")
        assert code == 0, err
    refuses_every_write(old)
    assert len(key_file(merchant).read_text().split()) == 2
    merchant.goes_on()


def test_given_a_rotation_that_is_given_up_then_the_old_key_goes_on(
    merchant: Merchant,
    links: Run,
    settings: Path,
    crash_at: Callable[[str], None],
) -> None:
    merchant.begin(settings)
    old, old_key = merchant.database, key_file(merchant)
    crash_at("move.proved")
    with pytest.raises(Crashed):
        links("rotate", "acme")

    assert links("rotate", "acme", "--undo")[0] == 0

    assert (merchant.database, key_file(merchant)) == (old, old_key)
    assert [one.name for one in merchant.config.parent.glob("*.key")] == ["giftsync.key"]
    merchant.goes_on()
    assert links("rotate", "acme", "--undo")[0] == 3
    assert links("rotate", "acme")[0] == 0
    merchant.goes_on()
