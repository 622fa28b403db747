"""The ledger: tables, the store that alone speaks SQL, and the vault that seals serials."""
