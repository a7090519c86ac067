"""`make proof`: the demo under kill -9 of its worker, then its ledger recounted from events and incentives."""
