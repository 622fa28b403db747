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

HIDDEN: Final = "[hidden]"

#: Fields whose value is never shown, whatever it looks like.
_SECRET_FIELD: Final = re.compile(
    r"token|secret|password|passwd|authorization|cookie|cvc|api_?key|body", re.I
)
#: Fields that hold words of our own.
_PLAIN_FIELDS: Final = frozenset({"action", "level", "logger", "timestamp", "side", "feed", "marker"})

_TOKENS: Final = re.compile(
    r"\b(?:shp[a-z]{2,3}_[A-Za-z0-9]+|Bearer\s+\S+|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+)"
)
_PASSWORD_IN_URL: Final = re.compile(r"(://[^:/\s@]*:)[^@\s]+@")
#: A whole run of twelve or more letters and digits, or groups of four of them, as serials are printed. Our
#: own markers (`gs-…`) and Shopify's ids of cards are no serials.
_SERIAL: Final = re.compile(
    r"(?<![A-Za-z0-9])(?<!gs-)(?<!/GiftCard/)"
    r"(?:[A-Za-z0-9]{4}(?:[ -][A-Za-z0-9]{4}){2,4}|[A-Za-z0-9]{12,64})(?![A-Za-z0-9])"
)
#: Longer than words of prose are; codes without a digit are rare but real.
_WORD_LENGTH_MAX: Final = 15


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without tokens and passwords, and with serials as `••••1234`."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", _TOKENS.sub(HIDDEN, text))
    return _SERIAL.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    text = match.group()
    if text.replace(" ", "").isalpha() and (" " in text or len(text) <= _WORD_LENGTH_MAX):
        return text
    return f"••••{text[-4:]}"


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
                return value if abs(value) < 10**11 else redact(str(value), self._secrets)
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
