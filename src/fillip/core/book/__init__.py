"""One tenant's campaigns, limits, cohorts and lists as they are in force, compiled."""
