"""What is decided and given: decisions, reversals, claims and wallets."""
