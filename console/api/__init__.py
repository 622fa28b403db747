"""The HTTP API under /api/v1: callers ask the hub before they take a payment. It acts only through sync."""
