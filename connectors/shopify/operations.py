"""Every GraphQL document that giftsync sends to Shopify, each a named operation.

One money mutation per request: a top-level error of one field does not stop the others (shopify.md §5), so
only a request with a single field has a single outcome. No document selects `giftCardCode`, the whole code:
giftsync makes cards only with serials that it already has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: A page, an id list or an input array holds no more (shopify.md §6).
PAGE_MAX: Final = 250


@dataclass(frozen=True)
class Operation:
    """One document. `root` is its only root field whose outcome matters."""

    name: str
    root: str
    document: str = field(repr=False)
    #: Query points, by the cost model of shopify.md §6, until the first answer tells the real ones.
    points_guess: int
    changes: bool = False


_CARD: Final = """
fragment Card on GiftCard {
  id
  balance { amount currencyCode }
  enabled
  expiresOn
  lastCharacters
  note
}
"""

_ENTRIES: Final = """
fragment Entries on GiftCard {
  transactions(first: $first, after: $after) {
    nodes { __typename id amount { amount currencyCode } note processedAt }
    pageInfo { hasNextPage endCursor }
  }
}
"""

_HINTED: Final = """
fragment Hinted on GiftCard {
  id
  createdAt
  updatedAt
  lastCharacters
  note
  order { name shippingAddress { name } }
}
"""

IDENTIFY: Final = Operation(
    "GiftsyncIdentify",
    "shop",
    """
query GiftsyncIdentify {
  shop {
    myshopifyDomain
    currencyCode
    ianaTimezone
    features { giftCards }
    plan { publicDisplayName }
  }
  currentAppInstallation { accessScopes { handle } }
}
""",
    points_guess=5,
)

READ_CARDS: Final = Operation(
    "GiftsyncReadCards",
    "nodes",
    "query GiftsyncReadCards($ids: [ID!]!) { nodes(ids: $ids) { __typename ...Card } }" + _CARD,
    points_guess=25,
)

READ_CARDS_WITH_ENTRIES: Final = Operation(
    "GiftsyncReadCardsWithEntries",
    "nodes",
    """
query GiftsyncReadCardsWithEntries($ids: [ID!]!, $first: Int!, $after: String) {
  nodes(ids: $ids) { __typename ...Card ...Entries }
}
"""
    + _CARD
    + _ENTRIES,
    points_guess=60,
)

READ_CARD_WITH_ENTRIES: Final = Operation(
    "GiftsyncReadCardWithEntries",
    "giftCard",
    """
query GiftsyncReadCardWithEntries($id: ID!, $first: Int!, $after: String) {
  giftCard(id: $id) { __typename ...Card ...Entries }
}
"""
    + _CARD
    + _ENTRIES,
    points_guess=25,
)

SEARCH_CODE: Final = Operation(
    "GiftsyncSearchCode",
    "giftCards",
    """
query GiftsyncSearchCode($first: Int!, $query: String!) {
  giftCards(first: $first, query: $query) { nodes { __typename ...Card } pageInfo { hasNextPage } }
}
"""
    + _CARD,
    points_guess=6,
)

NEW_CARDS: Final = Operation(
    "GiftsyncNewCards",
    "giftCards",
    """
query GiftsyncNewCards($first: Int!, $after: String, $query: String) {
  giftCards(first: $first, after: $after, query: $query, sortKey: ID) {
    nodes { ...Hinted }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + _HINTED,
    points_guess=35,
)

UPDATED_CARDS: Final = Operation(
    "GiftsyncUpdatedCards",
    "giftCards",
    """
query GiftsyncUpdatedCards($first: Int!, $after: String) {
  giftCards(first: $first, after: $after, sortKey: UPDATED_AT, reverse: true) {
    nodes { ...Hinted }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + _HINTED,
    points_guess=25,
)

UPDATED_ORDERS: Final = Operation(
    "GiftsyncUpdatedOrders",
    "orders",
    """
query GiftsyncUpdatedOrders($first: Int!, $after: String) {
  orders(first: $first, after: $after, sortKey: UPDATED_AT, reverse: true) {
    nodes {
      id
      name
      updatedAt
      transactions { id gateway processedAt receiptJson }
    }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    points_guess=25,
)

READ_ORDER: Final = Operation(
    "GiftsyncReadOrder",
    "order",
    """
query GiftsyncReadOrder($id: ID!) {
  order(id: $id) {
    id
    name
    updatedAt
    transactions { id gateway processedAt receiptJson }
  }
}
""",
    points_guess=2,
)

CREATE_CARD: Final = Operation(
    "GiftsyncCreateCard",
    "giftCardCreate",
    """
mutation GiftsyncCreateCard($input: GiftCardCreateInput!) {
  giftCardCreate(input: $input) {
    giftCard { id balance { amount currencyCode } note }
    userErrors { field code message }
  }
}
""",
    points_guess=10,
    changes=True,
)

CREDIT_CARD: Final = Operation(
    "GiftsyncCreditCard",
    "giftCardCredit",
    """
mutation GiftsyncCreditCard($id: ID!, $input: GiftCardCreditInput!) {
  giftCardCredit(id: $id, creditInput: $input) {
    giftCardCreditTransaction {
      id
      amount { amount currencyCode }
      note
      giftCard { id balance { amount currencyCode } }
    }
    userErrors { field code message }
  }
}
""",
    points_guess=11,
    changes=True,
)

DEBIT_CARD: Final = Operation(
    "GiftsyncDebitCard",
    "giftCardDebit",
    """
mutation GiftsyncDebitCard($id: ID!, $input: GiftCardDebitInput!) {
  giftCardDebit(id: $id, debitInput: $input) {
    giftCardDebitTransaction {
      id
      amount { amount currencyCode }
      note
      giftCard { id balance { amount currencyCode } }
    }
    userErrors { field code message }
  }
}
""",
    points_guess=11,
    changes=True,
)

# `giftCardUpdate` answers with the plain UserError, which has no code (shopify.md §3.2).
UPDATE_CARD: Final = Operation(
    "GiftsyncUpdateCard",
    "giftCardUpdate",
    """
mutation GiftsyncUpdateCard($id: ID!, $input: GiftCardUpdateInput!) {
  giftCardUpdate(id: $id, input: $input) {
    giftCard { id expiresOn }
    userErrors { field message }
  }
}
""",
    points_guess=10,
    changes=True,
)

DEACTIVATE_CARD: Final = Operation(
    "GiftsyncDeactivateCard",
    "giftCardDeactivate",
    """
mutation GiftsyncDeactivateCard($id: ID!) {
  giftCardDeactivate(id: $id) {
    giftCard { id enabled }
    userErrors { field code message }
  }
}
""",
    points_guess=10,
    changes=True,
)

NOTIFY_RECIPIENT: Final = Operation(
    "GiftsyncNotifyRecipient",
    "giftCardSendNotificationToRecipient",
    """
mutation GiftsyncNotifyRecipient($id: ID!) {
  giftCardSendNotificationToRecipient(id: $id) {
    giftCard { id }
    userErrors { field code message }
  }
}
""",
    points_guess=10,
    changes=True,
)

NOTIFY_CUSTOMER: Final = Operation(
    "GiftsyncNotifyCustomer",
    "giftCardSendNotificationToCustomer",
    """
mutation GiftsyncNotifyCustomer($id: ID!) {
  giftCardSendNotificationToCustomer(id: $id) {
    giftCard { id }
    userErrors { field code message }
  }
}
""",
    points_guess=10,
    changes=True,
)

OPERATIONS: Final = (
    IDENTIFY,
    READ_CARDS,
    READ_CARDS_WITH_ENTRIES,
    READ_CARD_WITH_ENTRIES,
    SEARCH_CODE,
    NEW_CARDS,
    UPDATED_CARDS,
    UPDATED_ORDERS,
    READ_ORDER,
    CREATE_CARD,
    CREDIT_CARD,
    DEBIT_CARD,
    UPDATE_CARD,
    DEACTIVATE_CARD,
    NOTIFY_RECIPIENT,
    NOTIFY_CUSTOMER,
)
