"""Fillip: an open-source, multi-tenant incentivization platform."""

__version__ = "0.1.0"
