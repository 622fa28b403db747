"""Pure translations between the hub's words and a side's: money, serials, status, expiry, notes.

No I/O, no clock, no state.
"""
