"""A tester of shops by the contract: rule by rule, in words."""
