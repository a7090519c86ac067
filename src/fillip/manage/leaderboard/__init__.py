"""Leaderboards as the control plane defines them."""
