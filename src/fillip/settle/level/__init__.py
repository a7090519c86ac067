"""Levels of users by points earned, moved by the sweep where time or a new definition moves them."""
