"""Points in the ledger: granted with the batch, taken back by reversals, matured by the sweep."""

from fillip.settle.wallet.postgres import PostgresWallets

__all__ = ["PostgresWallets"]
