"""Where the ledger's files are, and who can read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from config.load import key_path, load
from config.template import render_toml
from sync.ledger.database.engine import only_worker, open_engine, writing_lazily
from sync.ledger.database.migrations import upgrade
from sync.ledger.database.private_files import locked_file, make_private_folder, open_private
from sync.ledger.database.tables import origins
from sync.ledger.secrets.vault import load_or_make_keys

ODD_NAMES = [
    *("plain.db", "a?b.db", "a%20b.db", "a#b.db", "two words.db"),
    *("blåbær 🎁.db", "a?mode=ro&x=%s.db", "a:b.db"),
]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_ledger_lands_in_the_file_that_the_settings_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name.replace(".db", " folder?%#")
    folder.mkdir()
    engine = open_engine(f"sqlite:///{folder / name}")
    with only_worker(engine):
        upgrade(engine)
        assert engine.url.database == str(folder / name)
        assert {path.name.removeprefix(name) for path in folder.iterdir()} == {"", "-wal", "-shm", ".worker"}
    engine.dispose()

    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["a?b.db", "a%20b.db", "a#b.db", "blåbær.db"])
def test_the_settings_keep_an_odd_path_as_it_is_and_put_the_key_beside_it(name: str, tmp_path: Path) -> None:
    config = tmp_path / "giftsync.toml"
    values: dict[tuple[str, ...], object] = {
        ("database",): f"sqlite:///{name}",
        ("link", "timezone"): "Europe/Oslo",
        ("sides", "shopify", "shop"): "kaffe.myshopify.com",
        ("sides", "shopify", "token"): "shpat",
        ("sides", "flow", "tenant"): "7",
        ("sides", "flow", "store"): "70",
        ("sides", "flow", "token"): "t",
    }
    config.write_text(render_toml(values), encoding="utf-8")

    settings = load(config)

    assert settings.database == f"sqlite:///{tmp_path / name}"
    assert key_path(settings) == (tmp_path / name).with_suffix(".key")


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o277])
def test_every_file_of_the_ledger_is_its_owners_alone_whatever_the_umask(mask: int, tmp_path: Path) -> None:
    database = tmp_path / "ledger.db"
    with umask(mask):
        engine = open_engine(f"sqlite:///{database}")
        with only_worker(engine), locked_file(f"{database}.shopify-token", blocking=True):
            load_or_make_keys(tmp_path / "ledger.key")
            upgrade(engine)
            with writing_lazily(engine):
                found = {path.name: mode(path) for path in tmp_path.iterdir()}
        engine.dispose()

    names = ("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.worker", "ledger.db.shopify-token")
    assert found == dict.fromkeys((*names, "ledger.key"), 0o600)


def test_a_folder_of_ours_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    with umask(0o000):
        make_private_folder(tmp_path / "above" / "privacy")
    assert mode(tmp_path / "above" / "privacy") == 0o700


def test_a_file_that_is_written_anew_becomes_private_and_one_that_is_locked_stays(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.write_text("old")
    path.chmod(0o660)

    os.close(open_private(path, os.O_RDWR))
    assert (mode(path), path.read_text()) == (0o660, "old")
    os.close(open_private(path, os.O_WRONLY | os.O_TRUNC))
    assert (mode(path), path.read_text()) == (0o600, "")


def test_an_error_of_the_database_shows_no_value_that_it_was_given(empty_url: str) -> None:
    engine = open_engine(empty_url)
    upgrade(engine)
    values = {"card_id": 999, "order_id": "o", "order_name": "#1", "holder": "Kari Nordmann"}
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        connection.execute(insert(origins).values(**values))
    engine.dispose()

    assert "Kari" not in str(caught.value.statement) + str(caught.value).split("DETAIL")[0]
    assert engine.hide_parameters
