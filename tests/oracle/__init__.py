"""The oracle: what Fillip should have decided, worked out a second time from the documents alone."""
