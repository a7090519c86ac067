"""Wallets of points in an open transaction: locked, brought up to a time, and written."""
