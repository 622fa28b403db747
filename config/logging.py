"""Logs: a sentence, a stable `action` key, and fields. Everything passes one redaction point.

The connectors log through the standard library and the rest through structlog; both end here. Lines of
structlog go to the stream themselves: a record of the standard library costs as much again as the line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import lru_cache, partial
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mappings.redaction import HIDDEN, redact

#: Fields whose value is never shown, whatever it looks like.
_SECRET_FIELD: Final = re.compile(
    r"token|secret|password|passwd|authorization|cookie|cvc|api_?key|body", re.I
)
#: Fields that hold words of our own.
_PLAIN_FIELDS: Final = frozenset(
    {"action", "level", "logger", "timestamp", "side", "feed", "marker", "request_id"}
)
#: Numbers that count or measure are no serials.
_MEASURE_FIELD: Final = re.compile(r"_(?:minor|seconds|ms|bytes|count)\Z")
_DIGITS_MIN: Final = 8
#: How many names of fields, and how many texts, are looked through once only.
FIELDS_KEPT: Final = 256
TEXTS_KEPT: Final = 512


class Redaction:
    """The processor that every log line passes last."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # A short secret would blank ordinary words.
        hidden = tuple(secret for secret in secrets if len(secret) >= 6)
        # Most lines have the same sentences, and to search one takes longer than to write the line.
        self._redacted: Callable[[str], str] = lru_cache(TEXTS_KEPT)(partial(redact, secrets=hidden))

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {name: self._field(name, value) for name, value in event.items()}

    def _field(self, name: str, value: Any) -> Any:
        if name.startswith("_") or name in _PLAIN_FIELDS:
            return value
        if _is_secret(name):
            return HIDDEN
        match value:
            case bool() | float() | None:
                return value
            case int():
                shown = abs(value) < 10 ** (_DIGITS_MIN - 1) or _MEASURE_FIELD.search(name)
                return value if shown else self._redacted(str(value))
            case Mapping():
                return {str(k): self._field(str(k), v) for k, v in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._field("", one) for one in value]
        return self._redacted(str(value))


@lru_cache(FIELDS_KEPT)
def _is_secret(name: str) -> bool:
    return _SECRET_FIELD.search(name) is not None


def configure_logging(
    *, level: str = "INFO", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Send all logs to `stream` (standard error): one JSON object a line unless it is a terminal."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    out = stream if stream is not None else sys.stderr
    finish = (Redaction(secrets), _renderer(out))
    handler = _handler(out, level, finish, shared)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    _quiet_libraries()
    structlog.configure(
        processors=[_OfLevel(level), *shared, _as_it_is],
        logger_factory=lambda *name: _Lines(handler, finish, *name),
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        cache_logger_on_first_use=False,
    )


def _renderer(out: TextIO) -> Processor:
    if out.isatty():
        return structlog.dev.ConsoleRenderer(colors=True)
    return structlog.processors.JSONRenderer(ensure_ascii=False)


def _handler(
    out: TextIO, level: str, finish: Iterable[Processor], shared: list[Processor]
) -> logging.StreamHandler[TextIO]:
    """Writes redacted lines to `out`; a library's own level does not let through what was not asked for."""
    processors = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish]
    handler = logging.StreamHandler(out)
    handler.setLevel(level)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    return handler


class _OfLevel:
    """The processor that drops what is below the level."""

    def __init__(self, level: str) -> None:
        levels = logging.getLevelNamesMapping()
        self._passes = {name.lower(): number >= levels[level] for name, number in levels.items()}

    def __call__(self, _: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if self._passes.get(method, True):
            return event
        raise structlog.DropEvent


def _as_it_is(_: WrappedLogger, __: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, object]]:
    """Hand the event itself to the logger."""
    return (event,), {}


class _Lines:
    """What writes the lines of structlog: beside those of the handler, to the same stream."""

    def __init__(
        self, handler: logging.StreamHandler[TextIO], finish: Iterable[Processor], name: str = ""
    ) -> None:
        self.name, self._handler, self._finish = name, handler, finish

    def info(self, event: Any) -> None:
        """Write one line. A stream that takes none, such as a pipe that nobody reads, stops no work."""
        with suppress(Exception), self._handler.lock or nullcontext():
            for process in self._finish:
                event = process(self, "", event)
            self._handler.stream.write(f"{event}\n")
            self._handler.flush()

    debug = warning = error = critical = info


def _quiet_libraries() -> None:
    # It names every URL, and a URL may hold a serial; what fails is reported by the connectors.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # They tell of every table, and of every tick that a busy worker passes over, which is as it should be.
    for name, least in (("alembic", logging.WARNING), ("apscheduler", logging.ERROR)):
        logging.getLogger(name).setLevel(least)
