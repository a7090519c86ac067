"""Counters of limits, shared by deciding and explaining."""
