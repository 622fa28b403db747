"""The control call that sets a side's clock."""

from __future__ import annotations

from sandbox.clock import RATE_MAX, STEP_SECONDS_MAX, YEAR_MAX, YEAR_MIN, SandboxClock
from sandbox.control_values import ControlError, Json, moment, number_in, only


def change_clock(clock: SandboxClock, body: Json) -> Json:
    """Read the whole body, then change the clock; tell how it then is. Raises ControlError."""
    only(body, "now", "step_s", "pass_s", "rate", "date_header_s")
    now = moment(body, "now") if "now" in body else None
    step_s = number_in(body, "step_s", -STEP_SECONDS_MAX, STEP_SECONDS_MAX) if "step_s" in body else 0.0
    pass_s = number_in(body, "pass_s", 0, STEP_SECONDS_MAX) if "pass_s" in body else 0.0
    rate = number_in(body, "rate", 0, RATE_MAX) if "rate" in body else None
    shift = body.get("date_header_s", clock.date_header_s)
    if shift is not None:
        shift = number_in({"date_header_s": shift}, "date_header_s", -STEP_SECONDS_MAX, STEP_SECONDS_MAX)
    if now is not None or step_s or pass_s:
        try:
            clock.turn_to(now or clock.wall(), step_s + pass_s)
        except OverflowError:
            raise ControlError(400, f"the clock shows the years {YEAR_MIN} to {YEAR_MAX} only") from None
        clock.pass_growing(pass_s)
    if rate is not None:
        clock.set_rate(rate)
    clock.date_header_s = shift
    return {"now": clock.wall().isoformat(), "rate": clock.rate, "date_header_s": clock.date_header_s}
