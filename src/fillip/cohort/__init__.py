"""Beside an event's way: events into tallies, by which users join and leave the cohorts that have rules."""

from fillip.cohort.stage import Count, OfTenants

__all__ = ["Count", "OfTenants"]
