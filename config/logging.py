"""Logs: a sentence, a stable `action` key, and fields. Everything passes one redaction point.

The connectors log through the standard library and the rest through structlog; both end here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mappings.redaction import HIDDEN, redact

#: Fields whose value is never shown, whatever it looks like.
_SECRET_FIELD: Final = re.compile(
    r"token|secret|password|passwd|authorization|cookie|cvc|api_?key|body", re.I
)
#: Fields that hold words of our own.
_PLAIN_FIELDS: Final = frozenset({"action", "level", "logger", "timestamp", "side", "feed", "marker"})
#: Numbers that count or measure are no serials.
_MEASURE_FIELD: Final = re.compile(r"_(?:minor|seconds|ms|bytes|count)\Z")
_DIGITS_MIN: Final = 8


class Redaction:
    """The processor that every log line passes last."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A short secret would blank ordinary words.
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 6)

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: self._field(name, value) for name, value in event.items()}

    def _field(self, name: str, value: Any) -> Any:
        if name.startswith("_") or name in _PLAIN_FIELDS:
            return value
        if _SECRET_FIELD.search(name):
            return HIDDEN
        match value:
            case bool() | float() | None:
                return value
            case int():
                shown = abs(value) < 10 ** (_DIGITS_MIN - 1) or _MEASURE_FIELD.search(name)
                return value if shown else redact(str(value), self._secrets)
            case Mapping():
                return {str(k): self._field(str(k), v) for k, v in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._field("", one) for one in value]
        return redact(str(value), self._secrets)


def configure_logging(
    *, level: str = "INFO", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send all logs to `stream` (standard error): one JSON object a line unless it is a terminal."""
    out = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    redaction = Redaction(secrets)
    colours = out.isatty()
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=True)
        if colours
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    finish: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        redaction,
        renderer,
    ]
    handler = logging.StreamHandler(out)
    # A library's own level must not let through what was not asked for.
    handler.setLevel(level)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=finish))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # It names every URL, and a URL may hold a serial; what fails is reported by the connectors.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # They tell of every table, and of every tick that a busy worker passes over, which is as it should be.
    for name, least in (("alembic", logging.WARNING), ("apscheduler", logging.ERROR)):
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
