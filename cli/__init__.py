"""The command line. It puts the parts together and shows what they say; it decides nothing."""
