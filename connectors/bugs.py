"""Where an unexpected error comes from: a module and a line, and not its text, which may hold a serial."""

from __future__ import annotations

import traceback
from typing import Final

from connectors.installed import entry_points_by_name, shipped

_OURS: Final = ("cli", "config", "connectors", "console", "mappings", "sync")


def where(error: BaseException) -> str:
    """The innermost line of giftsync or of a connector, such as `giftsync_kassa:135 hints`."""
    module, line, function = _innermost(error)
    return f"{module}:{line} {function}"


def maker(error: BaseException) -> str | None:
    """The package of the connector, installed beside giftsync, whose code raised it; None: giftsync's own."""
    root = _innermost(error)[0].partition(".")[0]
    return root if root in _beside() else None


def _innermost(error: BaseException) -> tuple[str, int, str]:
    known = {*_OURS, *_beside()}
    found = ("unknown", 0, "")
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in known:
            found = (module, line, frame.f_code.co_name)
    return found


def _beside() -> set[str]:
    ours = shipped()
    return {
        point.module.partition(".")[0] for name, point in entry_points_by_name().items() if name not in ours
    }
