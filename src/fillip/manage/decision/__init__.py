"""Decisions on events."""
