"""Plots in one line of text."""

from __future__ import annotations

from collections.abc import Sequence

_STEPS = "▁▂▃▄▅▆▇█"
_FULL, _PARTS = "█", " ▏▎▍▌▋▊▉"


def sparkline(values: Sequence[float], width: int) -> str:
    """The newest `width` values as columns; the highest fills its line, and zero is the lowest step."""
    shown = values[-width:] if width > 0 else ()
    top = max(shown, default=0.0)
    if top <= 0:
        return _STEPS[0] * len(shown)
    return "".join(_STEPS[round(max(value, 0.0) / top * (len(_STEPS) - 1))] for value in shown)


def bar(share: float, width: int) -> str:
    """A bar of `share` (0 to 1) of the width, to an eighth of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    return _FULL * full + (_PARTS[part] if part else "")
