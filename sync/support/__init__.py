"""What people do: settle, explain, assign, audit, be notified, answer privacy requests."""
