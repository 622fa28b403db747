"""What follows from what is known. Pure: no I/O, no clock, no ledger."""
