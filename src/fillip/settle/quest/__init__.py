"""Quest instances in the ledger's transaction."""

from fillip.settle.quest.postgres import PostgresQuests

__all__ = ["PostgresQuests"]
