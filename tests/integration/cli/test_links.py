"""`giftsync links`: a fleet of links whose ledgers never meet, in files and in schemas of one PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from cli.demo.control import Control
from sync import crashpoints
from sync.ledger.database.engine import has_schema, open_engine
from sync.ledger.database.migrations import upgrade
from tests.integration.cli.conftest import Run
from tests.integration.schemas import schemas_with_tables
from tests.support import Crashed


@pytest.mark.parametrize("kept_in", ["files", pytest.param("schemas", marks=pytest.mark.postgres)])
def test_given_two_links_when_one_sells_then_the_other_knows_nothing_of_it(
    links: Run,
    run: Run,
    settings: Path,
    flow: Control,
    shopify: Control,
    tmp_path: Path,
    kept_in: str,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue("empty_postgres") if kept_in == "schemas" else None
    where = () if url is None else ("--postgres", url)
    for name in ("acme", "zebra-2"):
        code, made, err = links("add", name, "--from", str(settings), *where)
        assert code == 0, err
        assert Path(made["config"]).stat().st_mode & 0o777 == 0o600
    flow.move("sell", 50_000)

    code, _, err = run("sync", "--config", str(tmp_path / "links/acme/giftsync.toml"))

    assert code == 0, err
    assert [card.balance_minor for card in shopify.cards()] == [50_000]
    code, told, _ = links("list")
    assert code == 0
    assert [(one["link"], one["state"], one["cards"], one["in_step"]) for one in told["links"]] == [
        # On PostgreSQL a worker is known by what it has read lately.
        ("acme", "idle" if url is None else "runs", 1, 1),
        ("zebra-2", "new", 0, 0),
    ]
    assert (tmp_path / "links/acme/giftsync.key").exists()
    if url is not None:
        assert schemas_with_tables(url) == {"link_acme"}
        assert len(list((tmp_path / "links/acme").glob("*-link_acme.generation"))) == 1


def test_given_a_paused_link_when_it_is_synced_then_nothing_is_written_until_it_is_resumed(
    links: Run, run: Run, settings: Path, flow: Control, shopify: Control, tmp_path: Path
) -> None:
    links("add", "acme", "--from", str(settings))
    config = str(tmp_path / "links/acme/giftsync.toml")
    number = flow.move("sell", 50_000)["number"]
    assert run("sync", "--config", config)[0] == 0
    flow.move("redeem", 10_000, number=number)

    code, paused, _ = links("pause", "acme", "--why", "the shop  is moving")

    assert code == 0
    assert paused["stopped_by"][0].endswith(" has paused the link: the shop is moving.")
    assert run("sync", "--config", config)[0] == 2
    assert [card.balance_minor for card in shopify.cards()] == [50_000]
    code, told, _ = links("list")
    assert (code, told["links"][0]["state"]) == (1, "paused")
    assert told["links"][0]["words"] == paused["stopped_by"][0]
    assert run("status", "--config", config)[1]["stopped_by"] == paused["stopped_by"]
    code, resumed, _ = links("resume", "acme", "--why", "it has moved")
    assert (code, resumed["link"], resumed["released"]) == (0, "acme", 1)
    assert run("sync", "--config", config)[0] == 0
    assert [card.balance_minor for card in shopify.cards()] == [40_000]


def test_given_a_pause_of_a_single_link_when_it_is_resumed_then_it_says_that_the_pause_ended(
    run: Run, config: Path, flow: Control, shopify: Control
) -> None:
    flow.move("sell", 50_000)
    assert run("pause", "--why", "stock-taking", "--config", str(config))[0] == 0
    assert run("sync", "--config", str(config))[0] == 2
    assert shopify.cards() == []

    code, resumed, _ = run("resume", "--why", "counted", "--config", str(config))

    assert (code, resumed["released"]) == (0, 1)
    assert run("sync", "--config", str(config))[0] == 0
    assert len(shopify.cards()) == 1


@pytest.mark.parametrize("name", ["Acme", "../acme", "a" * 41, "", "1acme", "a_b", "acme\n"])
def test_given_a_name_that_is_none_then_nothing_is_made(links: Run, tmp_path: Path, name: str) -> None:
    code, told, _ = links("add", name)

    assert code == 3
    assert "cannot be the name" in told["error"]
    assert not (tmp_path / "links").exists()


def test_given_a_crash_in_the_middle_then_there_is_no_half_a_link_and_the_next_try_makes_it(
    links: Run, settings: Path, tmp_path: Path
) -> None:
    def dies(point: str) -> None:
        if point == "link.prepared":
            raise Crashed(point)

    crashpoints.install(dies)
    try:
        with pytest.raises(Crashed):
            links("add", "acme", "--from", str(settings))
    finally:
        crashpoints.install(None)
    # A crash of the process cannot clean up either.
    left = tmp_path / "links/.acme.new"
    left.mkdir()
    (left / "giftsync.toml").write_text("half", encoding="utf-8")

    assert links("list")[1]["links"] == []
    assert links("add", "acme", "--from", str(settings))[0] == 0
    assert [one["link"] for one in links("list")[1]["links"]] == ["acme"]
    assert not left.exists()


def test_given_a_link_that_is_there_then_a_second_one_of_its_name_changes_nothing(
    links: Run, settings: Path, tmp_path: Path
) -> None:
    links("add", "acme", "--from", str(settings))
    before = (tmp_path / "links/acme/giftsync.toml").read_bytes()

    code, told, _ = links("add", "acme")

    assert (code, "is there already" in told["error"]) == (3, True)
    assert (tmp_path / "links/acme/giftsync.toml").read_bytes() == before


def test_given_settings_that_have_a_ledger_then_no_second_one_is_made_for_the_same_cards(
    links: Run, run: Run, config: Path, tmp_path: Path
) -> None:
    assert run("sync", "--config", str(config))[0] == 0

    code, told, _ = links("add", "acme", "--from", str(config))

    assert (code, "has a ledger" in told["error"]) == (3, True)
    assert not (tmp_path / "links/acme").exists()


def test_given_links_that_cannot_be_used_then_the_list_says_why_and_shows_the_others(
    links: Run, settings: Path, tmp_path: Path
) -> None:
    links("add", "blank")
    links("add", "good", "--from", str(settings))
    links("add", "twin", "--from", str(settings))
    twin, ledger = tmp_path / "links/twin/giftsync.toml", tmp_path / "links/good/giftsync.db"
    lines = twin.read_text(encoding="utf-8").splitlines()[1:]
    twin.write_text("\n".join([f'database = "sqlite:///{ledger}"', *lines]), encoding="utf-8")

    code, told, _ = links("list")

    assert code == 2
    states = {one["link"]: (one["state"], one["words"]) for one in told["links"]}
    assert states["good"] == ("new", "")
    assert states["twin"] == ("unusable", "Its `database` is the ledger of the link good.")
    assert states["blank"][0] == "unusable"
    assert "timezone" in states["blank"][1]


def test_given_a_ledger_in_the_environment_then_the_fleet_refuses_it(
    links: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIFTSYNC_DATABASE", "sqlite:///all.db")

    code, told, _ = links("list")

    assert (code, "GIFTSYNC_DATABASE" in told["error"]) == (3, True)


@pytest.mark.postgres
def test_given_a_schema_that_is_there_then_no_link_takes_it(
    links: Run, settings: Path, empty_postgres: str
) -> None:
    url = empty_postgres
    engine = open_engine(_with_schema(url, "link_acme"))
    assert not has_schema(engine)
    upgrade(engine)
    engine.dispose()

    code, told, _ = links("add", "acme", "--from", str(settings), "--postgres", url)

    assert (code, "link_acme already" in told["error"]) == (3, True)


def _with_schema(url: str, name: str) -> str:
    return make_url(url).update_query_dict({"schema": name}).render_as_string(hide_password=False)
