"""Wallets as stored."""
