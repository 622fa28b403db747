"""Logs: one redaction point, and nothing secret behind it."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from config.logging import configure_logging
from mappings.redaction import redact

SERIAL = "1234567890123456"
CODE = "bdfghjkmqrtvwxyz"
TOKEN = "shpat_0123456789abcdef0123456789abcdef"


@pytest.fixture
def stream() -> io.StringIO:
    """Where the logs go."""
    out = io.StringIO()
    configure_logging(level="DEBUG", secrets=["a-password-of-ours"], stream=out)
    return out


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_a_json_object_with_a_sentence_and_an_action(stream: io.StringIO) -> None:
    structlog.get_logger("sync").info("a card is in step", action="card.in_step", amount_minor=1250)

    (line,) = lines(stream)
    assert line["event"] == "a card is in step"
    assert line["action"] == "card.in_step"
    assert line["amount_minor"] == 1250
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_the_standard_library_ends_in_the_same_place(stream: io.StringIO) -> None:
    logging.getLogger("connectors.flow").warning("Flow refused %s", SERIAL, extra={"action": "flow.refused"})

    (line,) = lines(stream)
    assert line["event"] == "Flow refused ••••3456"
    assert line["action"] == "flow.refused"


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": SERIAL},
        {"card": {"code": CODE, "inner": [SERIAL, (CODE,)]}},
        {"number": int(SERIAL)},
        {"url": f"http://host/v2/giftcards/{SERIAL}"},
        {"printed": "1234-5678-9012-3456"},
        {"printed": "1234 5678 9012 3456"},
        {"printed": "BDFG HJKM QRTV 2XYZ"},
        {"printed": "1234.5678.9012.3456"},
        {"number": 12345678},
        {"words": f"the card {CODE.upper()} was bought"},
        {"token": "short"},
        {"headers": {"Authorization": "Basic abc"}},
        {"cvc": 123},
        {"words": f"Bearer {TOKEN}"},
        {"words": f"asked with {TOKEN}"},
        {"words": "it is a-password-of-ours"},
        {"database": "postgresql://user:hunter2@host/name"},
    ],
)
def test_no_secret_comes_through(stream: io.StringIO, fields: dict[str, Any]) -> None:
    structlog.get_logger().info("something happened", action="test", **fields)

    text = stream.getvalue()
    for secret in (
        *(
            SERIAL,
            SERIAL[:12],
            SERIAL[4:],
            CODE,
            CODE.upper(),
            TOKEN,
            TOKEN[6:],
            "a-password-of-ours",
            "hunter2",
        ),
        *("1234-5678", "1234 5678", "HJKM", "short", "Basic", '"cvc": 123'),
    ):
        assert secret not in text


def test_no_secret_comes_through_with_an_exception(stream: io.StringIO) -> None:
    try:
        raise ValueError(f"the card {SERIAL} and {TOKEN}")
    except ValueError:
        structlog.get_logger().exception("it broke", action="test.broke")

    text = stream.getvalue()
    assert "ValueError" in text
    assert SERIAL not in text
    assert TOKEN not in text


def test_what_is_no_secret_stays_readable(stream: io.StringIO) -> None:
    structlog.get_logger().info(
        "a synchronisation of gid://shopify/GiftCard/1234567890123 under gs-abcdefghij234567 took 2026-11-23",
        action="sync.conflict_first_contact",
        marker="gs-abcdefghij234567",
    )

    (line,) = lines(stream)
    assert line["event"].startswith(
        "a synchronisation of gid://shopify/GiftCard/1234567890123 under gs-abcdefghij"
    )
    assert line["event"].endswith("took 2026-11-23")
    assert line["marker"] == "gs-abcdefghij234567"


def test_a_terminal_gets_words_instead_of_json() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    configure_logging(stream=out)
    structlog.get_logger().warning("a card waits", action="card.waits", serial=SERIAL)

    assert "a card waits" in out.getvalue()
    assert not out.getvalue().startswith("{")
    assert SERIAL not in out.getvalue()


def test_given_a_stream_that_takes_nothing_then_whoever_logs_goes_on() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    configure_logging(stream=Gone())
    structlog.get_logger("sync").info("a card is in step", action="card.in_step")


def test_what_is_below_the_level_is_dropped_and_lines_name_their_logger() -> None:
    out = io.StringIO()
    configure_logging(level="WARNING", stream=out)
    log = structlog.get_logger("sync.worker")
    for write in (log.debug, log.info, log.warning, log.error):
        write("a card waits", action="card.waits")

    assert [(line["level"], line["logger"]) for line in lines(out)] == [
        ("warning", "sync.worker"),
        ("error", "sync.worker"),
    ]


def test_redaction_is_stable() -> None:
    once = redact(f"{SERIAL} {CODE} {TOKEN}")

    assert redact(once) == once
