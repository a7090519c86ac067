"""Backtests: what a campaign would have granted for the past, found out by a process of its own."""
