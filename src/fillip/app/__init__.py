"""Wires everything and decides nothing: settings, processes, the command line."""
