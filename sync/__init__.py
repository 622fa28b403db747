"""The hub: its ledger, the protocol that keeps every side in step, and the worker that carries it out."""
