"""Incentives, and the inboxes that tell of them."""
