"""The example alerts watch metrics that the console serves, and each has a runbook."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from connectors.api.capabilities import Usage
from console.metrics import by_link, metrics_of
from console.pulse import Picture
from console.request_metrics import RequestMetrics
from sync.ledger.journeys import Carried, Journey
from sync.ledger.side_counts import Moved, SideCounts
from sync.ledger.totals import Totals
from sync.ledger.views import CardCounts, Status
from sync.standing import Standing
from tests.unit.docs.test_citations import ROOT

RULES = ROOT / "ops/prometheus/giftsync.rules.yml"
RUNBOOKS = ROOT / "docs/how-to/runbooks.md"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def picture() -> Picture:
    """A link with something of everything."""
    counts = Status(
        currency="NOK",
        cards=1,
        in_step=0,
        due=1,
        arrivals=0,
        left_out={},
        balance_minor={"NOK": 50_000},
        intents={"in_doubt": 1},
        conflicts={"overdraft": 1},
        at_stake_minor=5_000,
        unverified=1,
        unverified_minor={"NOK": 900},
        pool_free={"flow": 3},
        feeds={("flow", "orders"): NOW},
        last_run_at=None,
        last_run_outcome=None,
    )
    cards = CardCounts(1, 0, {"NOK": 50_000}, 1, {"NOK": 900}, ())
    added_up = Totals(NOW, 0.1, cards, 0, {}, {}, {"flow": 1}, {"flow": 0}, {}, {})
    standing = Standing(counts, 0, (), {}, (), {}, worker_runs=True, outages=(), totals=added_up)
    sides = SideCounts(
        intents={("shopify", "in_doubt"): 1},
        doubted_since={"shopify": NOW - timedelta(minutes=1)},
        waiting_since={"shopify": NOW},
        deliveries={"shopify": 2},
        delivered_since={"shopify": NOW},
        outages={("shopify", "writing"): NOW},
        at_stake_minor={"overdraft": 5_000},
    )
    return Picture(
        at=NOW,
        standing=standing,
        journeys=[Journey(NOW, 1, "4000", "flow", -100, "NOK", (Carried("shopify", NOW),))],
        usage={"shopify": Usage(3, 30, 1)},
        conflicts=(),
        runs=(),
        sides=sides,
        moved={("flow", "NOK"): Moved(2, 50_000, 2_500), (None, "NOK"): Moved(1, 0, 5_000)},
        seconds=0.1,
    )


PICTURE = picture()


def text_of(picture: Picture) -> str:
    console: Any = SimpleNamespace(pulse=SimpleNamespace(picture=lambda: picture))
    return metrics_of(console)[0].decode()


def requests_text() -> str:
    """What a process that serves tells of one request."""
    metrics = RequestMetrics()
    metrics.count.labels("", "webhooks", "shopify", "202").inc()
    metrics.seconds.labels("", "webhooks").observe(0.1)
    return generate_latest(metrics.registry).decode()


def served(*texts: str) -> dict[str, set[str]]:
    """The labels of each metric."""
    found: dict[str, set[str]] = {}
    for line in "\n".join(texts or (text_of(PICTURE),)).splitlines():
        told = re.fullmatch(r"(giftsync_\w+?)(\{(.*)\})? \S+", line)
        if told is not None:
            found.setdefault(told[1], set()).update(re.findall(r'(\w+)="', told[3] or ""))
    return found


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_given_an_alert_then_its_metrics_and_labels_are_served_and_its_runbook_is_written(
    rule: dict[str, Any],
) -> None:
    metrics = served(text_of(PICTURE), requests_text())
    names = re.findall(r"giftsync_\w+", rule["expr"])

    assert names
    assert set(names) <= metrics.keys()
    # What Prometheus adds to each target, and what functions keep.
    labels = set().union(*(metrics[name] for name in names)) | {"instance"}
    used = re.findall(r"(\w+)(?:!=|=~|=)\"", rule["expr"])
    used += re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
    assert set(used) <= labels
    assert rule["labels"]["severity"] in ("page", "ticket")
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    assert (ROOT / page) == RUNBOOKS
    headings = [
        line[3:].lower() for line in RUNBOOKS.read_text(encoding="utf-8").splitlines() if line[:3] == "## "
    ]
    assert section in headings
    assert section == rule["alert"].lower()


def test_given_a_runbook_then_an_alert_leads_to_it() -> None:
    headings = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in rules())


def test_given_the_reference_then_it_names_every_metric_and_no_other() -> None:
    text = (ROOT / "docs/reference/console.md").read_text(encoding="utf-8")

    told = set(re.findall(r"`(giftsync_\w+)", text))

    assert told == set(served())


def test_given_the_page_on_serving_apart_then_it_names_the_metrics_of_requests() -> None:
    text = (ROOT / "docs/how-to/serve-apart.md").read_text(encoding="utf-8")

    told = set(re.findall(r"`(giftsync_\w+)", text))

    parts = re.compile(r"_(created|bucket|count|sum)$")
    assert told == {parts.sub("", name) for name in served(requests_text())} - {"giftsync_requests"}


def test_given_write_offs_then_they_have_no_side_and_amounts_are_in_whole_units() -> None:
    lines = text_of(PICTURE).splitlines()

    assert 'giftsync_money_moved_total{currency="NOK",direction="out",side=""} 50.0' in lines
    assert 'giftsync_money_moved_total{currency="NOK",direction="in",side="flow"} 500.0' in lines
    assert 'giftsync_points_total{side="shopify"} 30.0' in lines
    assert 'giftsync_oldest_doubt_seconds{side="shopify"} 60.0' in lines


def test_given_many_links_then_each_metric_is_there_once_with_every_link() -> None:
    found = {one.name: one for one in by_link({"acme": PICTURE, "zebra": PICTURE})}

    assert len(found) == len(list(by_link({"acme": PICTURE})))
    labels = [sample.labels for sample in found["giftsync_oldest_doubt_seconds"].samples]
    assert labels == [{"link": "acme", "side": "shopify"}, {"link": "zebra", "side": "shopify"}]
