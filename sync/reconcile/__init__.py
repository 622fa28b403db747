"""The work on one card under its lease: recover, observe, decide, execute."""
