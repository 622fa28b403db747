"""A merchant's and support's journeys once more, on a ledger in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.conftest import DESKTOP, MORE_PAGES, PHONE, Open, World, open_world
from tests.browser.test_journeys import (
    test_a_merchant_looks_in_the_morning_and_settles_what_waits_in_three_clicks as settle_what_waits,
)
from tests.browser.test_journeys import (
    test_support_finds_a_card_and_reads_its_story_out as read_a_story_out,
)

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgres_url: Callable[[str], str]) -> Iterator[World]:
    path = tmp_path_factory.mktemp("browser") / "giftsync.toml"
    environment = {
        "GIFTSYNC_DATABASE": f"{postgres_url('migrated')}&schema=console",
        "GIFTSYNC_KEY_FILE": str(path.with_name("postgres.key")),
    }
    with open_world(path, {**MORE_PAGES, **environment}) as found:
        yield found


def test_given_postgresql_then_a_merchant_settles_what_waits(world: World, open_as: Open) -> None:
    settle_what_waits(world, open_as, DESKTOP)


def test_given_postgresql_then_support_reads_a_story_out_on_a_phone(world: World, open_as: Open) -> None:
    read_a_story_out(world, open_as, PHONE)
