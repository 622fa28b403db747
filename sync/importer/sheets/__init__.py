"""Card files of other systems: CSV in many dialects, read a row at a time. Pure: bytes and lines come in."""
