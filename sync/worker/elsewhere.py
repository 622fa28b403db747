"""A worker that runs in another process, as those see it who serve its link beside it."""

from __future__ import annotations

from sync.ledger.database.generation import behind, generation_of
from sync.ledger.database.news import ARRIVED, DELIVERED
from sync.ledger.database.news import DUE as DUE_NEWS
from sync.ledger.database.running import feeds_were_read, worker_runs
from sync.ledger.database.wake_ups import WakeUps
from sync.ledger.incoming.deliveries import StoreResult
from sync.worker.worker import Worker


def wake_for(wake_ups: WakeUps, side: str, kept: StoreResult) -> None:
    """Deliveries of the side were stored: wake the worker for what they came to."""
    news = {DUE_NEWS: kept.due, ARRIVED: kept.arrived, f"{DELIVERED}{side}": kept.to_process}
    wake_ups.stored(turn for turn, is_news in news.items() if is_news)


class ServiceElsewhere:
    """Stands for the `Service` of a worker in another process.

    `worker` has the parts of the link, takes no turn and is asked nothing of the sides.
    """

    def __init__(self, worker: Worker, wake_ups: WakeUps) -> None:
        self.worker, self._wake_ups = worker, wake_ups
        #: As it was when this process opened the ledger; None: a worker has raised it since.
        self._generation: int | None = generation_of(worker.engine)

    def wake(self, side: str, kept: StoreResult) -> None:
        """A delivery was stored. Safe from any thread."""
        wake_for(self._wake_ups, side, kept)

    def wake_due(self) -> None:
        """A card is due now. Safe from any thread."""
        self._wake_ups.stored([DUE_NEWS])

    def why_stopped(self) -> list[str]:
        """Why nobody may write now, in words; empty while the worker works on the newest ledger.

        A ledger that was put back may say of itself what was true before. So a worker has to raise the
        generation first, as each does every few seconds, and to have read every feed since it began.
        """
        engine = self.worker.engine
        if not worker_runs(engine, self.worker.link.clock()):
            return ["No worker of giftsync runs."]
        if self._generation is not None and generation_of(engine) > self._generation:
            self._generation = None
        if self._generation is not None or not feeds_were_read(engine):
            return ["giftsync has just started, and reads what happened meanwhile."]
        why = self.worker.why_stopped()
        if behind(engine) is not None:
            why.append("The ledger was put back, and the sides' books are being read.")
        return why
