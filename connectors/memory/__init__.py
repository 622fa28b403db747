"""A side in memory: the reference implementation of the `Side` protocol, for tests, simulation and trials."""

from connectors.memory.side import CAPABILITIES, MemoryCard, MemoryFault, MemorySide

__all__ = ["CAPABILITIES", "MemoryCard", "MemoryFault", "MemorySide"]
