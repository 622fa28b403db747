"""Whether many cards are made faster one by one or in one file. Pure, and stated before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.api.bulk import Pace

#: No side publishes how fast it runs the lines of one file; this is on the careful side.
LINES_PER_SECOND_ASSUMED = 30.0
#: Staging, upload, queue, and reading the outcome.
FILE_SECONDS_ASSUMED = 20.0


@dataclass(frozen=True)
class Estimate:
    """Both ways of making the cards, in seconds."""

    cards: int
    live_seconds: float
    bulk_seconds: float
    #: What was decided: as the estimate says, or as the person said.
    in_bulk: bool

    @property
    def words(self) -> str:
        chosen = "in bulk" if self.in_bulk else "one by one"
        return (
            f"{self.cards} cards: about {_span(self.live_seconds)} one by one at the shop's rate, about "
            f"{_span(self.bulk_seconds)} in bulk (assumed: {LINES_PER_SECOND_ASSUMED:.0f} cards a second); "
            f"they are made {chosen}"
        )


def estimate(cards: int, pace: Pace, forced: bool | None = None) -> Estimate:
    """How long the creates take either way; `forced` says which way they are made whatever comes out."""
    points = cards * pace.create_points - max(0.0, pace.available_points)
    live = max(0.0, points) / pace.restore_points_per_second
    bulk = FILE_SECONDS_ASSUMED + cards / LINES_PER_SECOND_ASSUMED
    return Estimate(cards, live, bulk, bulk < live if forced is None else forced)


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
