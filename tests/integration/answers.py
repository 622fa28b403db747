"""Checks a command's answer against its schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from jsonschema import Draft202012Validator

from cli.output import ExitCode, jsonable, schema_id


def check_answer(name: str, result: Mapping[str, object], code: int | ExitCode) -> None:
    """Raises ValidationError for an answer that is not as its schema says, to the last key."""
    _validator(name).validate({"schema": schema_id(name), **jsonable(result), "exit_code": int(code)})


def check_printed(name: str, answer: Mapping[str, object]) -> None:
    """The same for one that was printed."""
    _validator(name).validate(answer)


@cache
def _validator(name: str) -> Draft202012Validator:
    # Only tests of commands that print JSON pay for the schemas.
    from cli.schemas import schema_of

    made = schema_of(name)
    for one in (made, *made["$defs"].values()):
        if "properties" in one:
            # A reader has to take keys that it does not know; here they were forgotten in the type.
            one["additionalProperties"] = False
    return Draft202012Validator(made)
