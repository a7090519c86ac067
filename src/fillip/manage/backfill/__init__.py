"""Backfills: what a campaign grants for the time before its launch, by a process of its own."""
