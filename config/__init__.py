"""What giftsync is told from outside: settings and logging. No logic; imports mappings alone."""
