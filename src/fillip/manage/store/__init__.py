"""PostgreSQL for the control plane: engines, transactions, tables."""
