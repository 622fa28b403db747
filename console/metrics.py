"""What a Prometheus server reads at /metrics. Never a number, a name or a token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console.pulse import Picture, Pulse
from console.visit import Console
from mappings.money import MoneyError, currency_exponent

QUANTILES = (0.5, 0.95, 0.99)


def metrics_of(console: Console) -> tuple[bytes, str]:
    """The text, and its type."""
    registry = CollectorRegistry()
    registry.register(LinkMetrics(console.pulse))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class LinkMetrics(Collector):
    """Those of one link, by its newest picture."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def collect(self) -> Iterator[Metric]:
        yield from metrics_in(self._pulse.picture())


def metrics_in(picture: Picture) -> Iterator[Metric]:
    """What one link's picture says."""
    yield from _standing(picture)
    yield from _sides(picture)
    yield from _moved(picture)
    yield from _lags(picture)
    yield from _usage(picture)


def by_link(found: Mapping[str, Picture]) -> Iterator[Metric]:
    """The metrics of many links, each with the label `link`."""
    made: dict[str, Metric] = {}
    for link, picture in sorted(found.items()):
        for one in metrics_in(picture):
            into = made.setdefault(one.name, Metric(one.name, one.documentation, one.type))
            into.samples += [
                sample._replace(labels={"link": link, **sample.labels}) for sample in one.samples
            ]
    yield from made.values()


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"giftsync_{name}", words, value=value)


def _by(name: str, words: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    return _by_both(name, words, (label,), (((key,), value) for key, value in values.items()))


def _by_both(
    name: str, words: str, labels: Sequence[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    made = GaugeMetricFamily(f"giftsync_{name}", words, labels=labels)
    for keys, value in sorted(values):
        made.add_metric(list(keys), value)
    return made


def _ages(since: Mapping[str, datetime], at: datetime) -> dict[str, float]:
    return {key: max((at - one).total_seconds(), 0.0) for key, one in since.items()}


def _whole(minor: int, currency: str) -> float:
    """An amount in whole units: Prometheus has no others. One of a currency that is none stays as it is."""
    try:
        return float(minor / 10 ** currency_exponent(currency))
    except MoneyError:
        return float(minor)


def _standing(picture: Picture) -> Iterator[Metric]:
    standing, counts = picture.standing, picture.standing.counts
    yield _gauge("counted_timestamp_seconds", "When this was counted.", picture.at.timestamp())
    yield _gauge("worker_up", "Whether a worker runs.", float(standing.worker_runs))
    yield _gauge("stopped", "Whether a brake stops the link.", float(bool(standing.stopped_by)))
    yield _gauge("cards", "Cards in the ledger.", counts.cards)
    yield _gauge("cards_in_step", "Cards that are the same on every side.", standing.in_step)
    yield _gauge("cards_due", "Cards to work on.", counts.due)
    yield _gauge("arrivals", "Cards that are not matched yet.", counts.arrivals)
    owed = {currency: _whole(minor, currency) for currency, minor in counts.balance_minor.items()}
    yield _by("liability", "Money on cards that are verified, in whole units.", "currency", owed)
    yield _gauge("cards_not_verified", "Cards whose rows in the ledger were changed.", counts.unverified)
    said = {currency: _whole(minor, currency) for currency, minor in counts.unverified_minor.items()}
    yield _by("not_verified", "What these rows say, in whole units; not owed.", "currency", said)
    yield _by("conflicts", "Open conflicts.", "kind", counts.conflicts)
    if standing.currency is not None:
        stakes = {
            kind: _whole(minor, standing.currency) for kind, minor in picture.sides.at_stake_minor.items()
        }
        yield _by("at_stake", "Money at stake in open conflicts, in whole units.", "kind", stakes)
    yield _by("pool_numbers", "Numbers that no card has yet.", "side", counts.pool_free)
    read = {f"{side}.{feed}": at.timestamp() for (side, feed), at in counts.feeds.items()}
    yield _by("feed_read_timestamp_seconds", "When a feed was read last.", "feed", read)


def _sides(picture: Picture) -> Iterator[Metric]:
    sides, at = picture.sides, picture.at
    yield _by_both("intents", "Open effects.", ("side", "state"), sides.intents.items())
    words = "How long the oldest effect has been in doubt, since it was sent."
    yield _by("oldest_doubt_seconds", words, "side", _ages(sides.doubted_since, at))
    words = "How long the oldest open effect waits."
    yield _by("oldest_intent_seconds", words, "side", _ages(sides.waiting_since, at))
    yield _by("cards_unreadable", "Cards whose answer cannot be believed.", "side", picture.totals.unreadable)
    yield _by("cards_held", "Cards that are not written on the side for now.", "side", picture.totals.held)
    yield _by("deliveries_waiting", "Webhook deliveries to process.", "side", sides.deliveries)
    words = "How long the oldest webhook delivery waits."
    yield _by("oldest_delivery_seconds", words, "side", _ages(sides.delivered_since, at))
    outages = {keys: max((at - since).total_seconds(), 0.0) for keys, since in sides.outages.items()}
    words = "How long a side has not answered to a task."
    yield _by_both("outage_seconds", words, ("side", "task"), outages.items())


def _moved(picture: Picture) -> Iterator[Metric]:
    """What entered the hub since the ledger began; write-offs and resolutions have no side."""
    money = CounterMetricFamily(
        "giftsync_money_moved",
        "Money of movements, in whole units, a minute late.",
        labels=["side", "currency", "direction"],
    )
    count = CounterMetricFamily("giftsync_movements", "Movements.", labels=["side", "currency"])
    for (of_side, currency), moved in picture.moved.items():
        side = of_side or ""
        count.add_metric([side, currency], moved.movements)
        for direction, minor in (("in", moved.in_minor), ("out", moved.out_minor)):
            money.add_metric([side, currency, direction], _whole(minor, currency))
    yield money
    yield count


def _lags(picture: Picture) -> Iterator[Metric]:
    """The last day's movements, by the side that they were carried to."""
    by_side: dict[str, list[float]] = {}
    for journey in picture.journeys:
        for one in journey.carried:
            if one.ended_at is not None:
                by_side.setdefault(one.side, []).append((one.ended_at - journey.at).total_seconds())
    values = {
        (side, str(q)): sorted(seconds)[min(len(seconds) - 1, int(q * len(seconds)))]
        for side, seconds in by_side.items()
        for q in QUANTILES
    }
    yield _by_both("lag_seconds", "Time of a movement to a side.", ("side", "quantile"), values.items())


def _usage(picture: Picture) -> Iterator[Metric]:
    counters = {
        "calls": "Calls to a side.",
        "points": "What calls cost in the side's own points.",
        "throttled": "Calls that a side throttled.",
    }
    for name, words in counters.items():
        made = CounterMetricFamily(f"giftsync_{name}", words, labels=["side"])
        for side, usage in sorted(picture.usage.items()):
            made.add_metric([side], getattr(usage, name))
        yield made
