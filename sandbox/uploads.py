"""Requests that end before their body does, or whose body is no HTTP: a fault of clients."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

_FAULTS_OF_CLIENTS = (ConnectionError, RequestPayloadError, HttpProcessingError)


def without_broken_uploads(record: logging.LogRecord) -> bool:
    """Keep what aiohttp's server logs, except for faults of clients."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, _FAULTS_OF_CLIENTS)
