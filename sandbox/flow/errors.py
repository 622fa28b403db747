"""Refusals and their bodies. Flow's error bodies are unpublished: this is the one place that invents them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FlowError(Exception):
    """A request that is answered with an error; `code` and the body's shape are invented (flow.md §8)."""

    status: int
    code: str
    message: str


class Refusal(Exception):
    """A movement of money that the card or the order does not allow; nothing has moved."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def error_body(code: str, message: str) -> dict[str, object]:
    """The JSON body of every error."""
    return {"error": {"code": code, "message": message}}


def bad_request(message: str) -> FlowError:
    return FlowError(400, "BAD_REQUEST", message)


def not_found(what: str) -> FlowError:
    return FlowError(404, f"{what.upper()}_NOT_FOUND", f"no such {what.lower()}")


def conflict(code: str, message: str) -> FlowError:
    return FlowError(409, code, message)


def unprocessable(code: str, message: str) -> FlowError:
    return FlowError(422, code, message)
