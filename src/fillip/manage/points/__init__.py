"""Currencies of points."""
