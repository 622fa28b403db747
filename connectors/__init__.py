"""Adapters for the systems that hold gift cards, each behind the `Side` protocol of `connectors.api.side`."""
