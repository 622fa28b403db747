"""Parts for writing a connector: HTTP, parallel reads, probes, files, tokens."""
