-- All day files that are known.
SELECT path FROM day_file
