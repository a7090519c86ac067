"""Campaigns: checked, stored, changed under open instances."""
