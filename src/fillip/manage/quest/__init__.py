"""Instances of quests."""
