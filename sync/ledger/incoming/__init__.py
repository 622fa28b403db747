"""What came in and waits: hints, arrivals, deliveries, polls and sweeps."""
