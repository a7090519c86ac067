"""Incentives that nobody claimed in time, moved by the sweep."""
