"""`fillip demo`: a year of real grocery shopping through the whole system, watched, measured and checked."""
