"""Talks to a running Fillip from outside, as its users do: over HTTP, from the gateway, into the log of events."""
