"""Cohorts and the lists of their users."""
