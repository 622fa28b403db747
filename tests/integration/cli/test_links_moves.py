"""Moving, exporting and erasing one link of a fleet: whole, proved, and safe to be killed at any step."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from cli.build import open_ledger
from cli.demo.control import Control
from cli.fleet import Fleet
from config.load import load
from mappings.sentences import Sentence
from sync import crashpoints
from sync.fleet.queue import Timed, TurnQueue
from sync.ledger.database.engine import LedgerUnavailable, only_worker, open_engine
from sync.ledger.database.frozen import frozen
from sync.ledger.database.generation import behind
from sync.ledger.database.marks import save_mark
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.replica import replicate
from sync.ledger.database.tables import conflicts
from sync.support import pausing
from tests.integration.cli.conftest import Run
from tests.integration.fleet.conftest import opened_queue
from tests.integration.schemas import schemas_of
from tests.integration.shop import Shop
from tests.support import STARTED_AT, Crashed

TO_SCHEMA, TO_FILE = "to schema", "to file"
BOTH_WAYS = pytest.mark.parametrize("way", [TO_SCHEMA, TO_FILE])


class Merchant:
    """A link of the fleet that has sold a card for 500.00, and is in step."""

    def __init__(self, run: Run, links: Run, folder: Path, flow: Control, shopify: Control) -> None:
        self.run, self.links, self.flow, self.shopify = run, links, flow, shopify
        self.config = folder / "acme/giftsync.toml"
        self.number = ""

    def begin(self, settings: Path, *where: str) -> None:
        code, _, err = self.links("add", "acme", "--from", str(settings), *where)
        assert code == 0, err
        self.number = self.flow.move("sell", 50_000)["number"]
        self.sync()

    def sync(self) -> None:
        code, _, err = self.run("sync", "--config", str(self.config))
        assert code == 0, err

    def goes_on(self) -> None:
        """A customer spends, and the other side is told once."""
        before = self.shown()
        self.flow.move("redeem", 10_000, number=self.number)
        self.sync()
        assert self.shown() == [before[0] - 10_000]
        code, proof, err = self.run("audit", "--live", "--config", str(self.config))
        assert code == 0, (proof, err)

    def shown(self) -> list[int]:
        return [card.balance_minor for card in self.shopify.cards()]

    @property
    def database(self) -> str:
        return load(self.config).database


@pytest.fixture
def merchant(run: Run, links: Run, folder: Path, flow: Control, shopify: Control) -> Merchant:
    return Merchant(run, links, folder, flow, shopify)


def begin(merchant: Merchant, settings: Path, server: str, way: str) -> tuple[str, ...]:
    """The link on the one database; the arguments that move it to the other."""
    merchant.begin(settings, *(() if way == TO_SCHEMA else ("--postgres", server)))
    return ("--postgres", server) if way == TO_SCHEMA else ("--file",)


@pytest.fixture
def queue(empty_postgres: str) -> Iterator[TurnQueue]:
    with opened_queue(empty_postgres) as opened:
        yield opened


def refuses_every_write(database: str) -> None:
    engine = open_engine(database)
    try:
        with pytest.raises(DBAPIError, match="moved or erased"):
            save_mark(engine, "generation", "1", STARTED_AT)
        with pytest.raises(LedgerUnavailable, match="moved to"):
            upgrade(engine)
    finally:
        engine.dispose()


@pytest.mark.postgres
@BOTH_WAYS
def test_given_a_link_that_is_moved_then_it_goes_on_there_and_the_old_ledger_never_works_again(
    merchant: Merchant, links: Run, settings: Path, empty_postgres: str, queue: TurnQueue, way: str
) -> None:
    to = begin(merchant, settings, empty_postgres, way)
    old, old_settings = merchant.database, merchant.config.read_bytes()
    if way == TO_FILE:
        queue.keep("link_acme", [Timed("due", 3_600.0, "due", urgent=True)])
        queue.hand_out()
        queue.tell("link_acme", "due")

    code, moved, err = links("move", "acme", *to)

    assert (code, moved["findings"]) == (0, []), err
    assert "link_acme" not in queue.known()
    assert queue.hand_out() == 0
    assert moved["rows"] > 20
    assert merchant.database != old
    refuses_every_write(old)
    merchant.goes_on()
    # Nothing is to be read back: the ledger is the newest one, and knows it.
    engine = open_engine(merchant.database)
    assert behind(engine) is None
    engine.dispose()
    # A worker that comes with the old settings is refused.
    merchant.config.with_name("old.toml").write_bytes(old_settings)
    code, told, _ = merchant.run("sync", "--config", str(merchant.config.with_name("old.toml")))
    assert code == 3
    assert "this ledger was moved to" in told["error"]
    assert "password" not in told["error"]


MOVE_STEPS = (
    *("move.prepared", "move.frozen", "move.copying", "move.copied", "move.proved"),
    *("move.switching", "file.written", "move.switched"),
)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("way", "step"),
    [*((TO_SCHEMA, step) for step in MOVE_STEPS), (TO_FILE, "move.copying"), (TO_FILE, "move.switching")],
)
def test_given_a_move_that_dies_at_any_step_then_one_ledger_at_most_works_and_the_same_command_goes_on(
    merchant: Merchant,
    links: Run,
    settings: Path,
    empty_postgres: str,
    way: str,
    step: str,
    crash_at: Callable[[str], None],
) -> None:
    to = begin(merchant, settings, empty_postgres, way)
    old = merchant.database
    crash_at(step)

    with pytest.raises(Crashed):
        links("move", "acme", *to)

    engine = open_engine(old)
    began = frozen(engine) is not None
    engine.dispose()
    code = merchant.run("sync", "--config", str(merchant.config))[0]
    # It works on the old one before that is frozen, on the new one once the settings name it, else nowhere.
    assert code == (0 if step in ("move.prepared", "move.switched") else 3)
    if step != "move.switched":
        code, _, err = links("move", "acme", *(() if began else to))
        assert code == 0, err
    refuses_every_write(old)
    merchant.goes_on()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("way", "step", "undo_dies"),
    [
        (TO_SCHEMA, "move.frozen", False),
        (TO_SCHEMA, "move.copied", True),
        (TO_FILE, "move.switching", False),
    ],
)
def test_given_a_move_that_is_given_up_then_the_old_ledger_goes_on_and_the_new_one_is_empty(
    merchant: Merchant,
    links: Run,
    settings: Path,
    empty_postgres: str,
    way: str,
    step: str,
    undo_dies: bool,
    crash_at: Callable[[str], None],
) -> None:
    to = begin(merchant, settings, empty_postgres, way)
    old = merchant.database
    crash_at(step)
    with pytest.raises(Crashed):
        links("move", "acme", *to)
    if undo_dies:
        crash_at("move.emptied")
        with pytest.raises(Crashed):
            links("move", "acme", "--undo")

    assert links("move", "acme", "--undo")[0] == 0

    assert merchant.database == old
    merchant.goes_on()
    assert links("move", "acme", "--undo")[0] == 3
    assert links("move", "acme", *to)[0] == 0
    merchant.goes_on()


@pytest.mark.postgres
def test_given_a_link_that_is_moved_there_and_back_then_each_place_is_used_once(
    merchant: Merchant, links: Run, settings: Path, empty_postgres: str
) -> None:
    merchant.begin(settings)

    assert links("move", "acme", "--postgres", empty_postgres)[0] == 0
    merchant.goes_on()
    assert links("move", "acme", "--file")[0] == 0
    merchant.goes_on()
    assert links("move", "acme", "--postgres", empty_postgres)[0] == 0
    merchant.goes_on()

    assert schemas_of(empty_postgres) == ["link_acme", "link_acme_2"]
    assert merchant.config.with_name("giftsync-2.db").exists()


def test_given_a_move_that_cannot_be_then_nothing_is_frozen(
    merchant: Merchant, links: Run, settings: Path
) -> None:
    merchant.begin(settings)

    for arguments, words in (
        ((), "no move is under way"),
        (("--undo",), "no move is under way"),
        (("--file", "--postgres", "postgresql://localhost/x"), "one of"),
        (("--file",), "there already"),
        (("--postgres", "sqlite:///x.db"), "postgresql://"),
        (("--postgres", "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"), "does not answer"),
    ):
        code, told, _ = links("move", "acme", *arguments)
        assert (code, words in told["error"]) == (3, True), (arguments, told)
    engine = open_engine(merchant.database)
    with only_worker(engine):
        code, told, _ = links("move", "acme", "--undo")
        assert (code, "another giftsync worker" in told["error"]) == (3, True)
    engine.dispose()
    merchant.goes_on()


# --- export and restore -------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize(("came_from", "to"), [("file", "schema"), ("schema", "file")])
def test_given_an_export_when_the_link_is_erased_and_made_of_it_again_then_it_goes_on(
    merchant: Merchant,
    links: Run,
    settings: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    folder: Path,
    came_from: str,
    to: str,
) -> None:
    where = [
        ("--postgres", request.getfixturevalue("empty_postgres")) if one == "schema" else ()
        for one in (came_from, to)
    ]
    merchant.begin(settings, *where[0])
    file, key = tmp_path / "acme.giftsync", tmp_path / "acme.key"
    shutil.copy(folder / "acme/giftsync.key", key)
    code, made, err = links("export", "acme", str(file))
    assert code == 0, err
    assert file.stat().st_mode & 0o777 == 0o600
    content = file.read_bytes()
    assert merchant.number.encode() not in content
    assert b"shop" not in content
    # What happens after the export is read back from the sides.
    merchant.flow.move("redeem", 5_000, number=merchant.number)
    merchant.sync()
    assert links("erase", "acme", "--yes")[0] == 0

    code, again, err = links("add", "acme", "--from", str(file), "--key", str(key), *where[1])

    assert code == 0, err
    assert made["rows"] == again["rows"]
    merchant.sync()
    assert merchant.shown() == [45_000]
    merchant.goes_on()


def test_given_an_export_that_is_not_whole_or_another_key_then_no_link_is_made(
    merchant: Merchant, links: Run, settings: Path, tmp_path: Path, folder: Path
) -> None:
    merchant.begin(settings)
    links("add", "other", "--from", str(settings))
    merchant.run("sync", "--config", str(folder / "other/giftsync.toml"))
    file, key = tmp_path / "acme.giftsync", folder / "acme/giftsync.key"
    links("export", "acme", str(file))
    whole = file.read_bytes()
    middle = len(whole) // 2
    changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]

    for content, with_key, words in (
        (whole, folder / "other/giftsync.key", "does not open with this key"),
        (whole[:-1], key, ""),
        (whole[:middle], key, ""),
        (changed, key, ""),
        (whole + b"x", key, "does not end"),
        (b"", key, ""),
        (whole, tmp_path / "none.key", "cannot be read"),
    ):
        bad = tmp_path / "bad.giftsync"
        bad.write_bytes(content)
        code, told, _ = links("add", "again", "--from", str(bad), "--key", str(with_key))
        assert (code, words in told["error"]) == (3, True), told
        assert not (folder / "again").exists()
    code, told, _ = links("add", "again", "--from", str(file))
    assert (code, "--key" in told["remedy"]) == (3, True)
    assert links("export", "acme", str(file))[0] == 3
    assert file.read_bytes() == whole


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("to", "step"), [("file", "restore.filled"), ("schema", "restore.filled"), ("schema", "link.prepared")]
)
def test_given_a_restore_that_dies_then_there_is_no_link_and_the_next_try_makes_it(
    merchant: Merchant,
    links: Run,
    settings: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    folder: Path,
    crash_at: Callable[[str], None],
    to: str,
    step: str,
) -> None:
    where = ("--postgres", request.getfixturevalue("empty_postgres")) if to == "schema" else ()
    merchant.begin(settings)
    file, key = tmp_path / "acme.giftsync", str(folder / "acme/giftsync.key")
    links("export", "acme", str(file))
    crash_at(step)
    with pytest.raises(Crashed):
        links("add", "again", "--from", str(file), "--key", key, *where)
    assert [one.name for one in Fleet(folder).links()] == ["acme"]

    code, _, err = links("add", "again", "--from", str(file), "--key", key, *where)

    assert code == 0, err
    assert [one.name for one in Fleet(folder).links()] == ["acme", "again"]


# --- erase --------------------------------------------------------------------------------------------------

ERASE_STEPS = (
    *("erase.frozen", "erase.renamed", "erase.key_overwritten", "erase.key_destroyed"),
    *("erase.ledger_dropped", "erase.emptied"),
)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kept_in", "step"),
    [
        *(("file", step) for step in (None, *ERASE_STEPS)),
        *(("schema", step) for step in (None, "erase.key_destroyed", "erase.ledger_dropped")),
    ],
)
def test_given_a_link_that_is_erased_then_nothing_of_it_is_left_and_the_others_are_as_before(
    merchant: Merchant,
    links: Run,
    settings: Path,
    request: pytest.FixtureRequest,
    folder: Path,
    crash_at: Callable[[str], None],
    kept_in: str,
    step: str | None,
) -> None:
    server = request.getfixturevalue("empty_postgres") if kept_in == "schema" else None
    where = () if server is None else ("--postgres", server)
    merchant.begin(settings, *where)
    links("add", "other", "--from", str(settings), *where)
    engine = open_engine(load(folder / "other/giftsync.toml").database)
    upgrade(engine)
    engine.dispose()
    before = {one.name: one.read_bytes() for one in (folder / "other").iterdir() if one.suffix == ".toml"}
    if step is not None:
        crash_at(step)
        with pytest.raises(Crashed):
            links("erase", "acme", "--yes")
        assert merchant.run("sync", "--config", str(merchant.config))[0] == 3

    code, erased, err = links("erase", "acme", "--yes")

    assert code == 0, err
    if step is None:
        assert (erased["cards"], erased["owed_minor"]) == (1, {"NOK": 50_000})
        assert "500.00 NOK" in err.replace("NOK 500.00", "500.00 NOK")
    assert [one.name for one in folder.iterdir()] == ["other"]
    assert {
        one.name: one.read_bytes() for one in (folder / "other").iterdir() if one.suffix == ".toml"
    } == before
    if server is not None:
        assert schemas_of(server) == ["link_other"]
    assert links("erase", "acme", "--yes")[0] == 3


def test_given_open_intents_or_no_name_then_nothing_is_erased(
    merchant: Merchant, links: Run, settings: Path
) -> None:
    merchant.begin(settings)

    code, told, _ = links("erase", "acme")
    assert (code, "--yes" in told["remedy"]) == (3, True)
    assert links("erase", "nobody", "--yes")[0] == 3
    merchant.flow.move("redeem", 10_000, number=merchant.number)

    def paused(point: str) -> None:
        if point == "reconcile.observed":
            crashpoints.install(None)
            with open_ledger(load(merchant.config)) as ledger:
                pausing.pause(ledger.intake, "ada", "stocktaking", STARTED_AT)

    # What was decided after that is planned, and not sent.
    crashpoints.install(paused)
    assert merchant.run("sync", "--config", str(merchant.config))[0] == 2
    code, told, _ = links("erase", "acme", "--yes")
    assert code == 3, told
    assert "open intents" in told["error"]
    assert merchant.config.exists()

    assert links("erase", "acme", "--yes", "--force")[0] == 0
    assert not merchant.config.exists()


def test_given_a_link_whose_key_or_ledger_another_one_uses_then_it_is_not_erased(
    merchant: Merchant, links: Run, settings: Path, folder: Path
) -> None:
    merchant.begin(settings)
    links("add", "twin", "--from", str(settings))
    twin = folder / "twin/giftsync.toml"
    lines = twin.read_text(encoding="utf-8").splitlines()
    for own in (
        f'key_file = "{folder / "acme/giftsync.key"}"',
        f'database = "sqlite:///{folder / "acme/giftsync.db"}"',
    ):
        twin.write_text("\n".join([own, *(one for one in lines if own[:8] not in one)]), encoding="utf-8")

        code, told, _ = links("erase", "acme", "--yes")

        assert (code, "the link twin has the same" in told["error"]) == (3, True), told
    merchant.goes_on()


# --- the freeze ---------------------------------------------------------------------------------------------


def test_given_a_frozen_ledger_then_no_table_takes_any_change(shop: Shop) -> None:
    from sync.ledger.database.frozen import Frozen, freeze, thaw
    from sync.ledger.database.tables import metadata

    card_id = shop.in_step(10_000)
    freeze(shop.engine, Frozen("1", "this ledger was moved to there"), shop.clock())

    for table in metadata.tables:
        key = next(iter(metadata.tables[table].primary_key)).name
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {key} = {key}"):
            if shop.engine.dialect.name == "sqlite" and not shop.rows(table):
                continue  # SQLite's triggers are for rows.
            with pytest.raises(DBAPIError, match="moved or erased"), shop.engine.begin() as connection:
                connection.execute(text(statement))
    with pytest.raises(DBAPIError, match="moved or erased"):
        shop.claim(card_id)
    assert shop.card(card_id).balance_minor == 10_000

    thaw(shop.engine)

    shop.move("flow", -500)
    assert shop.work_until_quiet(card_id).balance_minor == 9_500


# --- the copy -----------------------------------------------------------------------------------------------


def test_given_a_conflict_when_its_ledger_is_copied_then_the_copy_says_it_in_other_languages_too(
    shop: Shop, tmp_path: Path
) -> None:
    card_id = shop.in_step(10_000)
    # Both spend it before giftsync looks: an overdraft.
    shop.move("flow", -8_000)
    shop.move("shopify", -8_000)
    shop.work_until_quiet(card_id)
    (kept,) = (row["summary"] for row in shop.rows("conflicts"))
    assert isinstance(kept, Sentence)

    copy = replicate(shop.engine, tmp_path / "copy.db")
    with copy.connect() as connection:
        copied = connection.execute(select(conflicts.c.summary)).scalar_one()
    copy.dispose()

    assert isinstance(copied, Sentence)
    assert (copied.message, copied.values) == (kept.message, kept.values)
