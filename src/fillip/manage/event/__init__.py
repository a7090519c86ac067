"""Events as the ledger has recorded them."""
