"""Uploads: read line by line, staged, and written in portions."""
