"""Gift Local as a side (docs/reference/apis/giftlocal.md)."""
