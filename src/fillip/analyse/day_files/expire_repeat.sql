-- What was received too long ago is forgotten.
DELETE FROM event_repeat WHERE received_at < now() - to_days($1::integer)
