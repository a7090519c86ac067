"""Points in the ledger: granted with the batch, taken back by reversals, matured by the sweep."""

from fillip.settle.wallet.postgres import PostgresWallets
from fillip.settle.wallet.posting import Posting, Terms

__all__ = ["PostgresWallets", "Posting", "Terms"]
