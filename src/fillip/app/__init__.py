"""Wires everything and decides nothing.

`cli.py` holds the commands. Each process has a file of its name: `api`, `worker`, `publish`, `sweep`, `gateway`, `analyse`;
`processes.py` runs any of them, and `up.py` all of them with their servers. The other files are what these share.
"""
