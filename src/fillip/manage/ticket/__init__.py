"""Tickets for the gateway."""
