"""What analyse answers to Fillip's own processes, who come with the installation's key."""
