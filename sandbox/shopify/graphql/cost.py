"""What a request costs (shopify.md §6, the emulator model)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

from sandbox.shopify.graphql.documents import flat_fields, integer_argument, response_key

#: No single request may cost more, on any plan.
COST_MAX = 1_000

_MUTATION = 10
_COUNT = 10
_INTROSPECTION = 2
_CONNECTION = 2
_FREE = {"MoneyV2", "MoneyBag", "MailingAddress", "PageInfo"}


def rows_factor(rows: int) -> int:
    """m of a connection that is asked for, or returned, that many rows."""
    return 0 if rows <= 0 else max(1, math.floor(2 * math.log(rows)))


@dataclass(frozen=True)
class CostModel:
    """The cost of one operation. `variables` are those of the request."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]

    def requested(self, operation: OperationDefinitionNode) -> int:
        """`requestedQueryCost`, before anything runs."""
        return self._operation(operation, None)

    def actual(self, operation: OperationDefinitionNode, data: Mapping[str, Any] | None) -> int:
        """`actualQueryCost`: fewer rows and null objects cost less. Never more than requested."""
        if data is None:
            return self.requested(operation)
        return min(self.requested(operation), self._operation(operation, data))

    def _operation(self, operation: OperationDefinitionNode, data: Mapping[str, Any] | None) -> int:
        root = self.schema.get_root_type(operation.operation)
        if root is None:
            return 0
        if operation.operation is OperationType.MUTATION:
            return self._mutations(operation.selection_set, root, data)
        return self._selections(operation.selection_set, root, data)

    def _mutations(
        self, selections: SelectionSetNode, root: GraphQLObjectType, data: Mapping[str, Any] | None
    ) -> int:
        total = 0
        for node in flat_fields(selections, self.fragments):
            definition = root.fields.get(node.name.value)
            if definition is None:
                continue
            total += _MUTATION
            payload = None if data is None else data.get(response_key(node))
            if data is not None and payload is None:
                continue
            payload_type = get_named_type(definition.type)
            for child in flat_fields(node.selection_set, self.fragments):
                total += self._inside_returned(child, payload_type, payload)
        return total

    def _inside_returned(
        self, node: FieldNode, payload_type: GraphQLNamedType, payload: Mapping[str, Any] | None
    ) -> int:
        """The objects inside one of a payload's objects; the payload's own objects are free."""
        fields = payload_type.fields if isinstance(payload_type, GraphQLObjectType) else {}
        definition = fields.get(node.name.value)
        if definition is None:
            return 0
        inner = get_named_type(definition.type)
        if is_leaf_type(inner):
            return 0
        value = None if payload is None else payload.get(response_key(node))
        if payload is not None and not value:
            return 0
        return self._selections(node.selection_set, inner, _first(value))

    def _selections(
        self, selections: SelectionSetNode | None, on: GraphQLNamedType, data: Mapping[str, Any] | None
    ) -> int:
        """The cost of the fields of one object; of an abstract type, with its dearest branch."""
        total = 0
        dearest = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                total += self._field(selection, on, data)
                continue
            if isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = self.schema.type_map[condition.name.value] if condition else on
                cost = self._selections(selection.selection_set, inner, data)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value in self.fragments:
                fragment = self.fragments[selection.name.value]
                inner = self.schema.type_map[fragment.type_condition.name.value]
                cost = self._selections(fragment.selection_set, inner, data)
            else:
                continue
            if is_abstract_type(on) and not isinstance(inner, GraphQLInterfaceType):
                dearest = max(dearest, cost)
            else:
                total += cost
        return total + dearest

    def _field(self, node: FieldNode, on: GraphQLNamedType, data: Mapping[str, Any] | None) -> int:
        name = node.name.value
        if name == "__typename":
            return 0
        if name.startswith("__"):
            return _INTROSPECTION
        fields = on.fields if isinstance(on, GraphQLObjectType | GraphQLInterfaceType) else {}
        if name not in fields:
            return 0
        inner: GraphQLNamedType | GraphQLAbstractType = get_named_type(fields[name].type)
        if is_leaf_type(inner):
            return 0
        value = None
        if data is not None:
            value = data.get(response_key(node))
            if value is None:
                # The object itself was looked for; what is below it was not.
                return 0 if inner.name in _FREE else 1
        if inner.name == "Count":
            return _COUNT
        if inner.name.endswith("Connection"):
            return self._connection(node, inner, value)
        own = 0 if inner.name in _FREE else 1
        return own + self._selections(node.selection_set, inner, _first(value))

    def _connection(self, node: FieldNode, of: GraphQLNamedType, value: Any) -> int:
        asked = integer_argument(node, "first", self.variables)
        if asked is None:
            asked = integer_argument(node, "last", self.variables) or 0
        total = _CONNECTION
        fields = of.fields if isinstance(of, GraphQLObjectType) else {}
        for child in flat_fields(node.selection_set, self.fragments):
            name = child.name.value
            if name not in {"nodes", "edges"} or name not in fields:
                continue
            item = get_named_type(fields[name].type)
            rows = asked
            if value is not None:
                returned = len(value.get(response_key(child)) or ())
                # An empty `nodes` is not discounted, an empty `edges` is.
                rows = asked if returned == 0 and name == "nodes" else min(asked, returned)
            each = self._row(child, item, is_node=name == "nodes")
            total += rows_factor(rows) * each
        return total

    def _row(self, node: FieldNode, of: GraphQLNamedType, *, is_node: bool) -> int:
        if is_node:
            return 1 + self._selections(node.selection_set, of, None)
        return self._selections(node.selection_set, of, None)


def _first(value: Any) -> Mapping[str, Any] | None:
    """The object, or one object of a list, whose fields are looked at."""
    if isinstance(value, list):
        return next((item for item in value if isinstance(item, dict)), None)
    return value if isinstance(value, dict) else None
