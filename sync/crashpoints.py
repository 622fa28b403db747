"""Named points between two steps at which a test may stop or interleave the process. No-ops in production."""

from __future__ import annotations

from collections.abc import Callable

_hook: Callable[[str], None] | None = None


def crashpoint(name: str) -> None:
    """Tests may raise here, or run another worker; nothing else listens."""
    if _hook is not None:
        _hook(name)


def install(hook: Callable[[str], None] | None) -> None:
    """For tests only: call `hook` with each point's name; None removes it."""
    global _hook
    _hook = hook
