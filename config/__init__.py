"""What giftsync is told from outside: settings and logging. No logic, and nothing of the other packages."""
