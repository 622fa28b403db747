"""Access scopes (shopify.md §2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
)

from sandbox.shopify.graphql.documents import flat_fields, response_key

READ_ALL_ORDERS = "read_all_orders"
ALL_SCOPES = (
    "write_customers",
    "write_gift_card_transactions",
    "write_gift_cards",
    "read_orders",
    READ_ALL_ORDERS,
)
#: An app without read_all_orders sees orders of the last 60 days.
ORDER_WINDOW_S = 60 * 86_400

_ROOT_SCOPES = {
    "customer": "read_customers",
    "customerByIdentifier": "read_customers",
    "customerCreate": "write_customers",
    "customerUpdate": "write_customers",
    "customers": "read_customers",
    "giftCard": "read_gift_cards",
    "giftCardConfiguration": "read_gift_cards",
    "giftCardCreate": "write_gift_cards",
    "giftCardCredit": "write_gift_card_transactions",
    "giftCardDeactivate": "write_gift_cards",
    "giftCardDebit": "write_gift_card_transactions",
    "giftCardSendNotificationToCustomer": "write_gift_cards",
    "giftCardSendNotificationToRecipient": "write_gift_cards",
    "giftCardUpdate": "write_gift_cards",
    "giftCards": "read_gift_cards",
    "giftCardsCount": "read_gift_cards",
    "order": "read_orders",
    "orders": "read_orders",
}
TYPE_SCOPES = {
    "Customer": "read_customers",
    "GiftCard": "read_gift_cards",
    "GiftCardCashOutTransaction": "read_gift_card_transactions",
    "GiftCardCreditTransaction": "read_gift_card_transactions",
    "GiftCardDebitTransaction": "read_gift_card_transactions",
    "GiftCardRecipient": "read_customers",
    "GiftCardTransaction": "read_gift_card_transactions",
    "GiftCardTransactionConnection": "read_gift_card_transactions",
    "GiftCardTransactionUserError": "read_gift_card_transactions",
    "LineItem": "read_orders",
    "Order": "read_orders",
    "OrderTransaction": "read_orders",
    "Refund": "read_orders",
}


@dataclass(frozen=True, slots=True)
class Need:
    """A field and the scope that it takes."""

    field: str
    scope: str

    @property
    def required_access(self) -> str:
        return f"`{self.scope}` access scope."


def expand(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with what they include: writing includes reading."""
    granted = set(scopes)
    granted.update(f"read_{scope.removeprefix('write_')}" for scope in scopes if scope.startswith("write_"))
    return frozenset(granted)


def needs_by_root(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> dict[str, list[Need]]:
    """By response key of each root field, what it and everything below it takes."""
    root = schema.get_root_type(operation.operation)
    if root is None or operation.operation is OperationType.SUBSCRIPTION:
        return {}
    found: dict[str, list[Need]] = {}
    for node in flat_fields(operation.selection_set, fragments):
        name = node.name.value
        if name not in root.fields:
            continue
        needs = found.setdefault(response_key(node), [])
        if name in _ROOT_SCOPES:
            needs.append(Need(name, _ROOT_SCOPES[name]))
        _collect(node.selection_set, get_named_type(root.fields[name].type), schema, fragments, needs)
    return found


def _collect(
    selections: SelectionSetNode | None,
    on: GraphQLNamedType,
    schema: GraphQLSchema,
    fragments: Mapping[str, FragmentDefinitionNode],
    needs: list[Need],
) -> None:
    for selection in selections.selections if selections else ():
        if isinstance(selection, FieldNode):
            fields = on.fields if isinstance(on, GraphQLObjectType | GraphQLInterfaceType) else {}
            if selection.name.value not in fields:
                continue
            inner = get_named_type(fields[selection.name.value].type)
            if inner.name in TYPE_SCOPES:
                needs.append(Need(selection.name.value, TYPE_SCOPES[inner.name]))
            _collect(selection.selection_set, inner, schema, fragments, needs)
        elif isinstance(selection, InlineFragmentNode):
            inner = on
            if selection.type_condition is not None:
                inner = schema.type_map[selection.type_condition.name.value]
                if inner.name in TYPE_SCOPES:
                    needs.append(Need(inner.name, TYPE_SCOPES[inner.name]))
            _collect(selection.selection_set, inner, schema, fragments, needs)
        elif isinstance(selection, FragmentSpreadNode) and selection.name.value in fragments:
            fragment = fragments[selection.name.value]
            inner = schema.type_map[fragment.type_condition.name.value]
            _collect(fragment.selection_set, inner, schema, fragments, needs)
