"""The historical import: files and lists become a plan, and a plan becomes cards, by intents."""
