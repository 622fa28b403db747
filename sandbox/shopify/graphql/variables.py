"""Variables of a request, checked with the answers that Shopify gives (shopify.md §5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    type_from_ast,
)

from sandbox.shopify.graphql.documents import is_required, location
from sandbox.shopify.graphql.errors import JsonObject
from sandbox.shopify.graphql.ids import is_gid
from sandbox.shopify.graphql.scalars import CoercionError

_NOT_NULL = "Expected value to not be null"
_BUILT_IN: dict[str, tuple[type, ...]] = {
    "Boolean": (bool,),
    "Float": (int, float),
    "Int": (int,),
    "String": (str,),
}
_INT_MAX = 2**31 - 1


@dataclass
class _Problems:
    found: list[JsonObject] = field(default_factory=list)

    def add(self, path: tuple[str | int, ...], explanation: str, *, coercion: bool = False) -> None:
        problem: JsonObject = {"path": list(path), "explanation": explanation}
        if coercion:
            problem["message"] = explanation
        self.found.append(problem)


def check_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, given: Mapping[str, Any]
) -> list[JsonObject]:
    """An INVALID_VARIABLE error for each variable that has problems."""
    errors = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        of = type_from_ast(schema, definition.type)
        if of is None or (name not in given and definition.default_value is not None):
            continue
        value = given.get(name)
        problems = _Problems()
        _check(of, value, (), problems)  # type: ignore[arg-type]
        if problems.found:
            errors.append(
                {
                    "message": _message(name, str(of), problems.found),
                    "locations": location(definition),
                    "extensions": {"code": "INVALID_VARIABLE", "value": value, "problems": problems.found},
                }
            )
    return errors


def _message(name: str, of: str, problems: list[JsonObject]) -> str:
    details = ", ".join(
        f"{'.'.join(map(str, problem['path']))} ({problem['explanation']})"
        for problem in problems
        if problem["path"]
    )
    return f"Variable ${name} of type {of} was provided invalid value" + (
        f" for {details}" if details else ""
    )


def _check(of: GraphQLInputType, value: object, path: tuple[str | int, ...], problems: _Problems) -> None:
    if value is None:
        if isinstance(of, GraphQLNonNull):
            problems.add(path, _NOT_NULL)
        return
    inner = of.of_type if isinstance(of, GraphQLNonNull) else of
    if isinstance(inner, GraphQLList):
        items = value if isinstance(value, list) else [value]
        for position, item in enumerate(items):
            _check(inner.of_type, item, (*path, position) if isinstance(value, list) else path, problems)
    elif isinstance(inner, GraphQLInputObjectType):
        _check_object(inner, value, path, problems)
    elif isinstance(inner, GraphQLEnumType):
        if value not in inner.values:
            allowed = ", ".join(inner.values)
            problems.add(path, f"Expected {json.dumps(value)} to be one of: {allowed}")
    elif isinstance(inner, GraphQLScalarType):
        _check_scalar(inner, value, path, problems)


def _check_object(
    of: GraphQLInputObjectType, value: object, path: tuple[str | int, ...], problems: _Problems
) -> None:
    if not isinstance(value, dict):
        problems.add(path, f"Expected {json.dumps(value)} to be a key-value object.")
        return
    for key in value:
        if key not in of.fields:
            problems.add((*path, key), f"Field is not defined on {of.name}")
    for key, expected in of.fields.items():
        if key in value or is_required(expected):
            _check(expected.type, value.get(key), (*path, key), problems)
    if of.is_one_of and len(value) != 1:
        problems.add(path, f"'{of.name}' requires exactly one argument, but {len(value)} were provided.")


def _check_scalar(
    of: GraphQLScalarType, value: object, path: tuple[str | int, ...], problems: _Problems
) -> None:
    if of.name == "ID":
        if not isinstance(value, str | int) or isinstance(value, bool) or not is_gid(str(value)):
            problems.add(path, f"Invalid global id '{value}'", coercion=True)
        return
    kinds = _BUILT_IN.get(of.name)
    if kinds is not None:
        fits = isinstance(value, kinds) and (of.name == "Boolean" or not isinstance(value, bool))
        if of.name == "Int" and isinstance(value, int) and abs(value) > _INT_MAX:
            fits = False
        if not fits:
            problems.add(path, f"Could not coerce value {json.dumps(value)} to {of.name}")
        return
    try:
        of.coerce_input_value(value)
    except CoercionError as error:
        problems.add(path, str(error), coercion=True)
