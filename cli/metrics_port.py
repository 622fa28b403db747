"""Serves metrics for Prometheus on a port of their own, to this machine only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from cli.console import standing_of, totals_of
from cli.errors import OperatorError
from cli.output import Output
from config.settings import Settings
from sync.worker.worker import Worker

#: Sums of money are nobody's business outside; a scraper runs on the machine.
HOST = "127.0.0.1"


@contextmanager
def metrics_served(port: int, registry: CollectorRegistry, output: Output) -> Iterator[None]:
    """Serve `/metrics` while the block runs, and say where. Raises OperatorError."""
    try:
        server, answers = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise OperatorError(f"port {port} cannot be listened on: {error.strerror}") from None
    output.note(f"Serving metrics at http://{HOST}:{port}/metrics.")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        answers.join()


@contextmanager
def link_metrics_served(port: int, settings: Settings, worker: Worker, output: Output) -> Iterator[None]:
    """Serve those of one link, counted a twentieth of the time, while the block runs."""
    from console.metrics import LinkMetrics
    from console.pulse import Pulse

    pulse = Pulse(
        lambda: worker.link,
        lambda totals: standing_of(settings, worker, totals),
        lambda: totals_of(settings, worker),
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LinkMetrics(pulse))
    with pulse, metrics_served(port, registry, output):
        yield
