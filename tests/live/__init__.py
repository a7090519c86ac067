"""The whole path on real servers and processes, seen from outside."""
