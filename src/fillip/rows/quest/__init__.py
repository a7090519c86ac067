"""Instances of quests, as both the ledger and explanations read them."""
