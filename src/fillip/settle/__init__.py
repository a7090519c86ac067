"""Step 4, Match → Incentive: the ledger, one fenced transaction a batch."""

from fillip.settle.stage import Ledger, Settle

__all__ = ["Ledger", "Settle"]
