-- Files whose newest event was received too long ago count no longer.
UPDATE day_file SET replaced_at = now() WHERE replaced_at IS NULL AND newest < now() - to_days($1::integer)
