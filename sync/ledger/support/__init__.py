"""What support asks the ledger for: buyers, requests about them, what receipts said."""
