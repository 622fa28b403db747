"""Cards that the hub does not know yet, and cards that a side lacks."""
