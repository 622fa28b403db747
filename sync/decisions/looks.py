"""When what is in doubt is looked for. Pure.

A marker that is found is conclusive at any moment. That it is not there says something only after the quiet
period. So the first look is soon, each wait is as long as all that went before it, and the last look is at
the end of the quiet period: nine looks in a minute.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.api.effect import EffectKind

#: A request whose answer was lost has mostly taken effect by then.
FIRST_LOOK_SECONDS = 0.3
#: Writing a status or an expiry again does no harm once no earlier request can land, so they need no look.
IDEMPOTENT = frozenset({EffectKind.SET_STATUS, EffectKind.SET_EXPIRY})


def first_look(
    kind: EffectKind, now: datetime, quiet_seconds: float, wait_seconds: float = FIRST_LOOK_SECONDS
) -> datetime:
    """The first look at what came to be in doubt now; `wait_seconds` is how soon that is at best."""
    wait_seconds = quiet_seconds if kind in IDEMPOTENT else min(wait_seconds, quiet_seconds)
    return now + timedelta(seconds=wait_seconds)


def next_look(now: datetime, quiet_until: datetime, quiet_seconds: float) -> datetime:
    """The look after one that found nothing, or that the side did not answer."""
    left_seconds = (quiet_until - now).total_seconds()
    if left_seconds > 0:
        wait_seconds = min(max(quiet_seconds - left_seconds, FIRST_LOOK_SECONDS), left_seconds)
    else:
        # A side that cannot be asked: soon again at first, then once in a quiet period.
        wait_seconds = max(min(-left_seconds, quiet_seconds), FIRST_LOOK_SECONDS)
    return now + timedelta(seconds=wait_seconds)
