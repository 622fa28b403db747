"""The link for looking at its ledger: nothing is asked of a side until somebody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.build import build_link, known_currency, open_ledger
from cli.session import opened_sides, report_closed
from config.settings import Settings
from sync.reconcile.work import Link


@contextmanager
def reading_link(settings: Settings) -> Iterator[Link]:
    """The link of the settings over its ledger, which has to be there already."""
    with open_ledger(settings, create=False) as ledger, opened_sides(settings) as sides:
        yield build_link(settings, ledger, sides, report_closed, known_currency(settings, ledger))
