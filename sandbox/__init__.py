"""Emulators of the sides' real APIs on loopback, written from the API facts alone.

Nothing here imports the connectors, the mappings or the worker: a misreading of an API must not be able to
hide on both sides of the wire.
"""
