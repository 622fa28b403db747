"""Many links, worked on by many workers on many machines."""
