"""Resolvers of bulk operations and staged uploads (shopify.md §7)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from graphql import DocumentNode

from sandbox.shopify.bulk.operations import BulkOperation, BulkType, Step
from sandbox.shopify.bulk.rows import BulkRows
from sandbox.shopify.bulk.rules import check_mutation, check_query
from sandbox.shopify.graphql.binding import resolve_by_name, typename_of
from sandbox.shopify.graphql.connections import (
    ByNumber,
    ByValue,
    Connection,
    Ordering,
    Window,
    page,
)
from sandbox.shopify.graphql.documents import fragments_of, operations_of
from sandbox.shopify.graphql.errors import JsonObject, UserError, invalid_id
from sandbox.shopify.graphql.ids import number_of
from sandbox.shopify.graphql.lists import NULL_FORWARD, NULL_REVERSED, SortKey, milliseconds
from sandbox.shopify.graphql.search import (
    FieldRule,
    Predicate,
    compile_search,
    instant_rule,
    match_any,
    number_rule,
    word_rule,
)
from sandbox.shopify.http.access import needs_by_root
from sandbox.shopify.http.context import Info, RequestContext, Resolvers

_STATUSES = ("CREATED", "RUNNING", "COMPLETED", "FAILED", "CANCELING", "CANCELED")
_TYPES = ("QUERY", "MUTATION")


def _has_status(status: str) -> Predicate[BulkOperation]:
    return lambda operation: operation.status == status


def _has_type(kind: str) -> Predicate[BulkOperation]:
    return lambda operation: operation.type == kind


def _find(info: Info, gid: str) -> BulkOperation | None:
    number = number_of(gid, "BulkOperation")
    if number is None:
        raise invalid_id(gid)
    return info.context.app.bulk.get(number)


def _operation(_: object, info: Info, *, id: str) -> BulkOperation | None:
    return _find(info, id)


def _current(_: object, info: Info, *, type: str | None = "QUERY") -> BulkOperation | None:
    found = [one for one in info.context.app.bulk.all() if one.type == type]
    return found[-1] if found else None


def _operations(_: object, info: Info, **arguments: Any) -> Connection[BulkOperation]:
    """Newest first; `reverse` turns that round."""
    context = info.context
    window = Window.of(arguments, reverse=True)
    found = {operation.number: operation for operation in context.app.bulk.all()}
    query = arguments.get("query")
    if query:
        fields: dict[str, FieldRule[BulkOperation]] = {
            "id": number_rule(lambda one: one.number),
            "status": word_rule({status.lower(): _has_status(status) for status in _STATUSES}),
            "operation_type": word_rule({kind.lower(): _has_type(kind) for kind in _TYPES}),
            "created_at": instant_rule(lambda one: one.created_at, context.state.timezone),
            "completed_at": instant_rule(lambda one: one.completed_at, context.state.timezone),
        }
        search = compile_search(query, fields, match_any)
        if search.warnings:
            context.search.append(search.extension(info.path.as_list()))
        found = {number: one for number, one in found.items() if search.matches(one)}
    ordering: Ordering[BulkOperation] = ByNumber(list(found))
    if arguments.get("sortKey") == "COMPLETED_AT":
        key: SortKey[BulkOperation] = milliseconds(lambda one: one.completed_at)
        null = NULL_REVERSED if window.reverse else NULL_FORWARD
        rows = sorted(
            (null if one.completed_at is None else one.completed_at, one.number) for one in found.values()
        )
        ordering = ByValue(rows, key.write, key.read)
    return page(ordering, window, found.get)


def _denied(context: RequestContext, document: DocumentNode) -> bool:
    needs = needs_by_root(context.schema, operations_of(document)[0], fragments_of(document))
    return any(need.scope not in context.scopes for group in needs.values() for need in group)


def _started(
    context: RequestContext, kind: BulkType, text: str, document: DocumentNode, work: Iterator[Step]
) -> JsonObject:
    denied = _denied(context, document)
    operation = context.app.bulk.start(kind, text, context.base_url, work, denied=denied)
    return {"bulk_operation": operation, "user_errors": []}


def _refused(*errors: UserError) -> JsonObject:
    return {"bulk_operation": None, "user_errors": list(errors)}


def _run_query(_: object, info: Info, **arguments: Any) -> JsonObject:
    context = info.context
    text = arguments["query"]
    document = check_query(context.schema, text)
    if isinstance(document, list):
        return _refused(*document)
    busy = context.app.bulk.in_progress("QUERY")
    if busy is not None:
        return _refused(busy)
    rows = BulkRows(context.schema, document, context, resolve_by_name, typename_of)
    work = (Step(line, is_root="__parentId" not in line) for line in rows.lines())
    return _started(context, "QUERY", text, document, work)


def _run_mutation(_: object, info: Info, **arguments: Any) -> JsonObject:
    context = info.context
    text = arguments["mutation"]
    allowed = context.state.behaviour.bulk_credit_debit_allowed
    document = check_mutation(context.schema, text, arguments.get("clientIdentifier"), money_allowed=allowed)
    if isinstance(document, UserError):
        return _refused(document)
    body = context.app.bulk.staged_body(arguments["stagedUploadPath"])
    if isinstance(body, UserError):
        return _refused(body)
    busy = context.app.bulk.in_progress("MUTATION")
    if busy is not None:
        return _refused(busy)
    return _started(context, "MUTATION", text, document, _lines(context, document, body))


def _lines(context: RequestContext, document: DocumentNode, body: bytes) -> Iterator[Step]:
    """Run the mutation once for each line of the file."""
    for number, line in enumerate(body.splitlines()):
        if not line.strip():
            continue
        try:
            variables = json.loads(line)
        except ValueError:
            variables = None
        if isinstance(variables, dict):
            answer = context.execute(document, variables)
        else:
            answer = {"errors": [{"message": "The line is not a JSON object of variables."}]}
        yield Step({**answer, "__lineNumber": number})


def _cancel(_: object, info: Info, *, id: str) -> JsonObject:
    operation = _find(info, id)
    if operation is None:
        return _refused(UserError(("id",), "Bulk operation does not exist"))
    error = info.context.app.bulk.cancel(operation)
    return {"bulk_operation": operation, "user_errors": [] if error is None else [error]}


def _stage(_: object, info: Info, *, input: list[Mapping[str, Any]]) -> JsonObject:
    """Only uploads for bulk mutations, by POST, are offered."""
    context = info.context
    errors = []
    for position, wanted in enumerate(input):
        if wanted["resource"] != "BULK_MUTATION_VARIABLES" or wanted.get("httpMethod") != "POST":
            path = ("input", str(position), "resource")
            errors.append(UserError(path, "The sandbox stages BULK_MUTATION_VARIABLES by POST only"))
    if errors:
        return {"staged_targets": None, "user_errors": errors}
    targets = []
    for wanted in input:
        url, file = context.app.bulk.stage(wanted["filename"], wanted["mimeType"], context.base_url)
        parameters = [{"name": name, "value": value} for name, value in file.parameters.items()]
        targets.append({"url": url, "resource_url": f"{url}{file.key}", "parameters": parameters})
    return {"staged_targets": targets, "user_errors": []}


RESOLVERS: Resolvers = {
    "QueryRoot": {
        "bulkOperation": _operation,
        "bulkOperations": _operations,
        "currentBulkOperation": _current,
    },
    "Mutation": {
        "bulkOperationRunQuery": _run_query,
        "bulkOperationRunMutation": _run_mutation,
        "bulkOperationCancel": _cancel,
        "stagedUploadsCreate": _stage,
    },
}
