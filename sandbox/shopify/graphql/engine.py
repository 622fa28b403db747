"""Runs GraphQL requests: validation, cost, throttling, execution, extensions (shopify.md §5, §6)."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    execute_sync,
)

from sandbox.shopify.bulk.operations import BulkOperations
from sandbox.shopify.graphql.binding import bind, resolve_by_name, resolve_type
from sandbox.shopify.graphql.cost import COST_MAX, CostModel
from sandbox.shopify.graphql.documents import flat_fields, fragments_of, pick_operation
from sandbox.shopify.graphql.errors import LIMITS_DOCUMENTATION, JsonObject, RequestRefused
from sandbox.shopify.graphql.validation import parse_document, validate_document
from sandbox.shopify.graphql.variables import check_variables
from sandbox.shopify.graphql.versions import build_schema
from sandbox.shopify.http.access import ORDER_WINDOW_S, READ_ALL_ORDERS, Need, expand, needs_by_root
from sandbox.shopify.http.context import App, RequestContext
from sandbox.shopify.http.throttle import Bucket, Plan
from sandbox.shopify.resolvers import bulk as resolve_bulk
from sandbox.shopify.resolvers import cards, orders, shop
from sandbox.shopify.resolvers import webhooks as resolve_webhooks
from sandbox.shopify.shop.card_list import card_listing
from sandbox.shopify.shop.model import Order
from sandbox.shopify.shop.order_list import customer_listing, order_listing
from sandbox.shopify.shop.state import ShopState
from sandbox.shopify.webhooks.deliveries import Webhooks

_GROUPS = (
    shop.RESOLVERS,
    cards.RESOLVERS,
    orders.RESOLVERS,
    resolve_bulk.RESOLVERS,
    resolve_webhooks.RESOLVERS,
)
#: Parsed and validated documents that are kept.
_DOCUMENTS_MAX = 512


@dataclass(frozen=True)
class GraphQLRequest:
    """The body of a request."""

    query: str
    variables: Mapping[str, Any]
    operation_name: str | None

    @classmethod
    def of(cls, body: bytes) -> GraphQLRequest | None:
        """None if the body isn't a GraphQL request at all."""
        try:
            content = json.loads(body)
        except ValueError:
            return None
        if not isinstance(content, dict) or not isinstance(content.get("query"), str):
            return None
        variables, name = content.get("variables") or {}, content.get("operationName")
        if not isinstance(variables, dict) or not isinstance(name, str | None):
            return None
        return cls(content["query"], variables, name)


@dataclass(frozen=True)
class Answer:
    """The body of an answer, the points it was charged, and whether it was refused as too fast."""

    body: JsonObject
    points: int = 0
    throttled: bool = False


@dataclass(frozen=True)
class Client:
    """Who asks: the scopes of the token, and the origin that was used."""

    granted: tuple[str, ...]
    base_url: str


@dataclass
class _Prepared:
    """A document that was parsed and validated once."""

    schema: GraphQLSchema
    document: DocumentNode | None
    errors: list[JsonObject]
    _needs: dict[int, dict[str, list[Need]]] = field(default_factory=dict)

    @cached_property
    def fragments(self) -> dict[str, FragmentDefinitionNode]:
        return {} if self.document is None else fragments_of(self.document)

    def needs(self, operation: OperationDefinitionNode) -> dict[str, list[Need]]:
        key = id(operation)
        if key not in self._needs:
            self._needs[key] = needs_by_root(self.schema, operation, self.fragments)
        return self._needs[key]


@dataclass(frozen=True)
class _Ready:
    """A request that may run if there are points for it."""

    prepared: _Prepared
    operation: OperationDefinitionNode
    model: CostModel
    requested: int


@cache
def _schema(version: str) -> GraphQLSchema:
    """The schema of a version with its resolvers, which keep nothing, so that all shops share it."""
    schema = build_schema(version)
    bind(schema, _GROUPS)
    return schema


class Engine:
    """The GraphQL side of one shop, for one app."""

    def __init__(
        self,
        state: ShopState,
        plan: Plan,
        client_id: str,
        bucket: Bucket,
        bulk: BulkOperations,
        webhooks: Webhooks,
    ) -> None:
        self.state = state
        self.plan = plan
        self.client_id = client_id
        self.bucket = bucket
        self.bulk = bulk
        self.webhooks = webhooks
        self._documents: OrderedDict[tuple[str, str], _Prepared] = OrderedDict()
        self._cards = card_listing(state)
        self._customers = customer_listing(state)

    def name(self, version: str, request: GraphQLRequest) -> tuple[str, str] | None:
        """Kind and root fields of the operation ("mutation", "giftCardCredit"), or None."""
        prepared = self._prepare(version, request.query)
        if prepared.document is None:
            return None
        operation = pick_operation(prepared.document, request.operation_name)
        if operation is None:
            return None
        roots = dict.fromkeys(
            node.name.value for node in flat_fields(operation.selection_set, prepared.fragments)
        )
        return operation.operation.value, "+".join(roots)

    def run(self, version: str, request: GraphQLRequest, client: Client) -> Answer:
        """Carry out a request that came over HTTP."""
        try:
            ready = self._ready(version, request)
        except RequestRefused as refused:
            return Answer({"errors": refused.errors})
        if not self.bucket.take(ready.requested):
            return Answer(self._throttled_body(ready.requested, self.bucket.status()), throttled=True)
        context = self._context(version, ready.prepared, ready.operation, client)
        result = self._execute(ready.prepared, request.variables, request.operation_name, context)
        actual = ready.model.actual(ready.operation, result.data)
        self.bucket.give_back(ready.requested - actual)
        body = _body(result)
        body["extensions"] = {"cost": self._cost(ready.requested, actual, self.bucket.status())}
        if context.search:
            body["extensions"]["search"] = context.search
        return Answer(body, points=actual)

    def throttled(self, version: str, request: GraphQLRequest | None) -> JsonObject:
        """The answer to a request that an injected fault calls too fast: the bucket is said to be empty."""
        requested = 0
        if request is not None:
            try:
                requested = self._ready(version, request).requested
            except RequestRefused:
                requested = 0
        return self._throttled_body(requested, self.bucket.status(available=0))

    # Steps of a request.

    def _prepare(self, version: str, text: str) -> _Prepared:
        key = (version, text)
        found = self._documents.get(key)
        if found is not None:
            self._documents.move_to_end(key)
            return found
        schema = _schema(version)
        document = parse_document(text)
        if isinstance(document, dict):
            prepared = _Prepared(schema, None, [document])
        else:
            prepared = _Prepared(schema, document, validate_document(schema, document))
        self._documents[key] = prepared
        if len(self._documents) > _DOCUMENTS_MAX:
            self._documents.popitem(last=False)
        return prepared

    def _ready(self, version: str, request: GraphQLRequest) -> _Ready:
        prepared = self._prepare(version, request.query)
        if prepared.errors or prepared.document is None:
            raise RequestRefused(prepared.errors)
        operation = pick_operation(prepared.document, request.operation_name)
        if operation is None:
            name = request.operation_name
            message = f'No operation named "{name}"' if name else "An operation name is required"
            raise RequestRefused([{"message": message}])
        errors = check_variables(prepared.schema, operation, request.variables)
        if errors:
            raise RequestRefused(errors)
        model = CostModel(prepared.schema, prepared.fragments, _with_defaults(operation, request.variables))
        requested = model.requested(operation)
        if requested > COST_MAX:
            raise RequestRefused([_too_dear(requested)])
        return _Ready(prepared, operation, model, requested)

    def _context(
        self, version: str, prepared: _Prepared, operation: OperationDefinitionNode, client: Client
    ) -> RequestContext:
        scopes = expand(client.granted)
        oldest = None if READ_ALL_ORDERS in scopes else self.state.now() - ORDER_WINDOW_S

        def visible(order: Order) -> bool:
            return oldest is None or order.created_at >= oldest

        def run_line(document: DocumentNode, variables: Mapping[str, Any]) -> JsonObject:
            return self._run_line(version, document, variables, client)

        return RequestContext(
            state=self.state,
            app=App(self.plan, self.client_id, client.granted, self.bulk, self.webhooks),
            version=version,
            scopes=scopes,
            base_url=client.base_url,
            cards=self._cards,
            customers=self._customers,
            orders=order_listing(self.state, visible),
            schema=prepared.schema,
            execute=run_line,
            needs=prepared.needs(operation),
        )

    def _execute(
        self,
        prepared: _Prepared,
        variables: Mapping[str, Any],
        operation_name: str | None,
        context: RequestContext,
    ) -> ExecutionResult:
        if prepared.document is None:
            raise ValueError("a document that doesn't parse can't be run")
        return execute_sync(
            prepared.schema,
            prepared.document,
            context_value=context,
            variable_values=dict(variables),
            operation_name=operation_name,
            field_resolver=resolve_by_name,
            type_resolver=resolve_type,
        )

    def _run_line(
        self, version: str, document: DocumentNode, variables: Mapping[str, Any], client: Client
    ) -> JsonObject:
        """Run a checked document for one line of a bulk mutation; lines cost no points."""
        prepared = _Prepared(_schema(version), document, [])
        operation = pick_operation(document, None)
        if operation is None:
            raise ValueError("a bulk mutation has one operation")
        errors = check_variables(prepared.schema, operation, variables)
        if errors:
            return {"errors": errors}
        context = self._context(version, prepared, operation, client)
        return _body(self._execute(prepared, variables, None, context))

    def _throttled_body(self, requested: int, status: dict[str, int]) -> JsonObject:
        error = {
            "message": "Throttled",
            "extensions": {"code": "THROTTLED", "documentation": LIMITS_DOCUMENTATION},
        }
        return {"errors": [error], "extensions": {"cost": self._cost(requested, None, status)}}

    def _cost(self, requested: int, actual: int | None, status: dict[str, int]) -> JsonObject:
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}


def _with_defaults(operation: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Variables with the defaults of the integers that were left out, which is all that the cost looks at."""
    values = dict(given)
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        text = getattr(definition.default_value, "value", None)
        if name not in values and isinstance(text, str) and text.isdigit():
            values[name] = int(text)
    return values


def _too_dear(cost: int) -> JsonObject:
    return {
        "message": f"Query cost is {cost}, which exceeds the single query max cost limit ({COST_MAX}).",
        "extensions": {
            "code": "MAX_COST_EXCEEDED",
            "cost": cost,
            "maxCost": COST_MAX,
            "documentation": LIMITS_DOCUMENTATION,
        },
    }


def _body(result: ExecutionResult) -> JsonObject:
    body: JsonObject = {}
    if result.errors:
        body["errors"] = [_written(error) for error in result.errors]
    body["data"] = result.data
    return body


def _written(error: GraphQLError) -> JsonObject:
    """An error in the answer. What isn't meant for the client is a bug of the emulator: it is raised."""
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        raise error.original_error
    return dict(error.formatted)
