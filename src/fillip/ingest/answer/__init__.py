"""What a request that waits is told: the committed decisions of its events, read from the ledger once its worker is past them."""
