"""`giftsync demo`: both emulators, people who buy and spend, the worker, and a proof that it all adds up.

The people and the proof know nothing of the ledger's opinion: they act on the sandboxes and read their truth.
"""
