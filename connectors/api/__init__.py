"""The contract between giftsync and a connector: what a side is asked and may answer."""
