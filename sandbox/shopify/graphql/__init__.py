"""The GraphQL engine: versions, validation, cost, lists."""
