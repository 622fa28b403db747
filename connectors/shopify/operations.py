"""Every GraphQL document that giftsync sends to Shopify, each a named operation.

One movement of money per request: a top-level error of one field does not stop the others (shopify.md §5), so
only a request with a single field has a single outcome. Creates alone may be packed. No document selects
`giftCardCode`, the whole code: giftsync makes cards only with serials that it already has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
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
  templateSuffix
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
  order { id name shippingAddress { name } }
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
    points_guess=3,
)

READ_ORDERS_OF_CARDS: Final = Operation(
    "GiftsyncReadOrdersOfCards",
    "nodes",
    "query GiftsyncReadOrdersOfCards($ids: [ID!]!) { nodes(ids: $ids) { __typename ...Hinted } }" + _HINTED,
    points_guess=35,
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
      transactions {
        id kind status gateway processedAt receiptJson
        amountSet { shopMoney { amount currencyCode } }
      }
    }
    pageInfo { hasNextPage endCursor }
  }
}
""",
    points_guess=25,
)

READ_ORDERS: Final = Operation(
    "GiftsyncReadOrders",
    "nodes",
    """
query GiftsyncReadOrders($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Order {
      id
      name
      transactions { id gateway kind processedAt receiptJson amountSet { shopMoney { amount currencyCode } } }
    }
  }
}
""",
    points_guess=10,
)

_CREATE: Final = """giftCardCreate(input: ${variable}) {{
    giftCard {{ id balance {{ amount currencyCode }} note }}
    userErrors {{ field code message }}
  }}"""

CREATE_CARD: Final = Operation(
    "GiftsyncCreateCard",
    "giftCardCreate",
    "mutation GiftsyncCreateCard($input: GiftCardCreateInput!) {\n  "
    + _CREATE.format(variable="input")
    + "\n}",
    points_guess=10,
    changes=True,
)

#: More would make one lost answer put too many cards in doubt.
PACK_MAX: Final = 20


@cache
def create_pack(size: int) -> Operation:
    """So many independent creates in one request, under the aliases `c0`, `c1` and so on.

    Only creates are packed: sent again after an unknown outcome they are refused as taken.
    """
    variables = ", ".join(f"$c{n}: GiftCardCreateInput!" for n in range(size))
    fields = "\n".join(f"  c{n}: " + _CREATE.format(variable=f"c{n}") for n in range(size))
    name = f"GiftsyncCreateCards{size}"
    document = f"mutation {name}({variables}) {{\n{fields}\n}}"
    return Operation(name, "giftCardCreate", document, points_guess=10 * size, changes=True)


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

FIND_CUSTOMER: Final = Operation(
    "GiftsyncFindCustomer",
    "customerByIdentifier",
    """
query GiftsyncFindCustomer($identifier: CustomerIdentifierInput!) {
  customerByIdentifier(identifier: $identifier) { id }
}
""",
    points_guess=1,
)

# `customerCreate` answers with the plain UserError, which has no code.
CREATE_CUSTOMER: Final = Operation(
    "GiftsyncCreateCustomer",
    "customerCreate",
    """
mutation GiftsyncCreateCustomer($input: CustomerInput!) {
  customerCreate(input: $input) { customer { id } userErrors { field message } }
}
""",
    points_guess=10,
    changes=True,
)

CARD_LIMITS: Final = Operation(
    "GiftsyncCardLimits",
    "giftCardConfiguration",
    "query GiftsyncCardLimits { giftCardConfiguration { issueLimit { amount currencyCode } } }",
    points_guess=1,
)

# Bulk operations (shopify.md §7).

_BULK: Final = "id status objectCount rootObjectCount url partialDataUrl"

RUN_BULK_QUERY: Final = Operation(
    "GiftsyncRunBulkQuery",
    "bulkOperationRunQuery",
    """
mutation GiftsyncRunBulkQuery($query: String!) {
  bulkOperationRunQuery(query: $query) { bulkOperation { id } userErrors { field code message } }
}
""",
    points_guess=10,
    changes=True,
)

RUN_BULK_MUTATION: Final = Operation(
    "GiftsyncRunBulkMutation",
    "bulkOperationRunMutation",
    """
mutation GiftsyncRunBulkMutation($mutation: String!, $path: String!) {
  bulkOperationRunMutation(mutation: $mutation, stagedUploadPath: $path) {
    bulkOperation { id }
    userErrors { field code message }
  }
}
""",
    points_guess=10,
    changes=True,
)

# `stagedUploadsCreate` answers with the plain UserError, which has no code.
STAGE_UPLOAD: Final = Operation(
    "GiftsyncStageUpload",
    "stagedUploadsCreate",
    """
mutation GiftsyncStageUpload($input: [StagedUploadInput!]!) {
  stagedUploadsCreate(input: $input) {
    stagedTargets { url parameters { name value } }
    userErrors { field message }
  }
}
""",
    points_guess=11,
    changes=True,
)

READ_BULK: Final = Operation(
    "GiftsyncReadBulk",
    "bulkOperation",
    "query GiftsyncReadBulk($id: ID!) { bulkOperation(id: $id) { " + _BULK + " } }",
    points_guess=1,
)

#: Newest first; giftsync has at most a few under way.
RECENT_BULKS_MAX: Final = 50

RECENT_BULKS: Final = Operation(
    "GiftsyncRecentBulks",
    "bulkOperations",
    "query GiftsyncRecentBulks($first: Int!) { bulkOperations(first: $first) { nodes { id query } } }",
    points_guess=9,
)


def list_name(tag: str) -> str:
    """The operation name under which Shopify shows the list that was ordered with this tag."""
    return f"GiftsyncListCards_{_checked(tag)}"


def list_in_bulk(tag: str) -> str:
    """Every card. Run by Shopify, not answered: a bulk query has edges, and no page sizes."""
    return f"""
query {list_name(tag)} {{
  giftCards {{
    edges {{
      node {{
        id
        balance {{ amount currencyCode }}
        enabled
        expiresOn
        lastCharacters
        note
        order {{ id }}
      }}
    }}
  }}
}}
"""


def bulk_name(tag: str) -> str:
    """The operation name under which Shopify shows what was started with this tag."""
    return f"GiftsyncCreateCards_{_checked(tag)}"


def _checked(tag: str) -> str:
    if not (tag.isascii() and tag.isalnum()):
        raise ValueError("a tag has letters and digits only")
    return tag


def create_in_bulk(tag: str) -> str:
    """The mutation that Shopify runs once for each line of a file. Like CREATE_CARD, it asks for no code."""
    return f"""
mutation {bulk_name(tag)}($input: GiftCardCreateInput!) {{
  giftCardCreate(input: $input) {{
    giftCard {{ id note }}
    userErrors {{ field code message }}
  }}
}}
"""


# Webhook subscriptions (shopify.md §8). These payloads answer with the plain UserError, without a code.

_SUBSCRIPTION: Final = "id topic uri format includeFields apiVersion { handle }"

SUBSCRIPTIONS: Final = Operation(
    "GiftsyncSubscriptions",
    "webhookSubscriptions",
    "query GiftsyncSubscriptions($first: Int!) { webhookSubscriptions(first: $first) { nodes { "
    + _SUBSCRIPTION
    + " } } }",
    points_guess=25,
)

SUBSCRIBE: Final = Operation(
    "GiftsyncSubscribe",
    "webhookSubscriptionCreate",
    """
mutation GiftsyncSubscribe($topic: WebhookSubscriptionTopic!, $input: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $input) {
    webhookSubscription { id apiVersion { handle } }
    userErrors { field message }
  }
}
""",
    points_guess=11,
    changes=True,
)

RESUBSCRIBE: Final = Operation(
    "GiftsyncResubscribe",
    "webhookSubscriptionUpdate",
    """
mutation GiftsyncResubscribe($id: ID!, $input: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $input) {
    webhookSubscription { id }
    userErrors { field message }
  }
}
""",
    points_guess=10,
    changes=True,
)

UNSUBSCRIBE: Final = Operation(
    "GiftsyncUnsubscribe",
    "webhookSubscriptionDelete",
    """
mutation GiftsyncUnsubscribe($id: ID!) {
  webhookSubscriptionDelete(id: $id) {
    deletedWebhookSubscriptionId
    userErrors { field message }
  }
}
""",
    points_guess=10,
    changes=True,
)


# What the doctor asks. Each is a request of its own: a missing scope makes one root field null, and with it
# only one answer.

EXAMINE_SHOP: Final = Operation(
    "GiftsyncExamineShop",
    "shop",
    """
query GiftsyncExamineShop {
  shop {
    myshopifyDomain
    currencyCode
    ianaTimezone
    features { giftCards }
    plan { publicDisplayName partnerDevelopment }
  }
  currentAppInstallation { accessScopes { handle } }
}
""",
    points_guess=5,
)

EXAMINE_LIMITS: Final = Operation(
    "GiftsyncExamineLimits",
    "giftCardConfiguration",
    """
query GiftsyncExamineLimits {
  giftCardConfiguration {
    issueLimit { amount currencyCode }
    expirationConfiguration { expirationUnit expirationValue }
  }
}
""",
    points_guess=1,
)

EXAMINE_MADE_BY_APPS: Final = Operation(
    "GiftsyncExamineMadeByApps",
    "giftCards",
    """
query GiftsyncExamineMadeByApps($first: Int!, $query: String!) {
  giftCards(first: $first, query: $query, sortKey: ID, reverse: true) { nodes { id note } }
  giftCardsCount(query: $query) { count precision }
}
""",
    points_guess=20,
)

EXAMINE_UPDATES: Final = Operation(
    "GiftsyncExamineUpdates",
    "giftCards",
    """
query GiftsyncExamineUpdates($first: Int!) {
  giftCards(first: $first, sortKey: UPDATED_AT, reverse: true) { nodes { id updatedAt } }
}
""",
    points_guess=10,
)

EXAMINE_MOVES: Final = Operation(
    "GiftsyncExamineMoves",
    "giftCards",
    """
query GiftsyncExamineMoves($first: Int!, $last: Int!) {
  giftCards(first: $first, sortKey: UPDATED_AT, reverse: true) {
    nodes { id transactions(last: $last) { nodes { __typename note } } }
  }
}
""",
    points_guess=50,
)

PROBE_CARD: Final = Operation(
    "GiftsyncProbeCard",
    "giftCard",
    "query GiftsyncProbeCard($id: ID!) { giftCard(id: $id) { id updatedAt } }",
    points_guess=1,
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
    READ_ORDERS,
    CREATE_CARD,
    CREDIT_CARD,
    DEBIT_CARD,
    UPDATE_CARD,
    DEACTIVATE_CARD,
    NOTIFY_RECIPIENT,
    NOTIFY_CUSTOMER,
    FIND_CUSTOMER,
    CREATE_CUSTOMER,
    READ_ORDERS_OF_CARDS,
    CARD_LIMITS,
    RUN_BULK_QUERY,
    RUN_BULK_MUTATION,
    STAGE_UPLOAD,
    READ_BULK,
    RECENT_BULKS,
    EXAMINE_SHOP,
    EXAMINE_LIMITS,
    EXAMINE_MADE_BY_APPS,
    EXAMINE_UPDATES,
    EXAMINE_MOVES,
    SUBSCRIPTIONS,
    SUBSCRIBE,
    RESUBSCRIBE,
    UNSUBSCRIBE,
    PROBE_CARD,
)


def every_document() -> dict[str, str]:
    """Every document by name, with those that are made when they are needed."""
    more = {
        "list_in_bulk": list_in_bulk("tag"),
        "create_in_bulk": create_in_bulk("tag"),
        "create_pack": create_pack(PACK_MAX).document,
    }
    return {operation.name: operation.document for operation in OPERATIONS} | more
