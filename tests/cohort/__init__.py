"""Cohorts by events."""
