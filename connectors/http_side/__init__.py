"""A shop that implements giftsync's own HTTP contract (docs/reference/http-side.yaml), as a side."""
