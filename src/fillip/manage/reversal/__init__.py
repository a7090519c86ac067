"""Reversals of events."""
