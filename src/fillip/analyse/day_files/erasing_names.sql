-- The names of the user's events, and the keys that they get instead; the cursor's own.
CREATE OR REPLACE TEMP TABLE erasing_name AS
SELECT unnest($sources)::varchar AS of_source, unnest($ids)::varchar AS of_id, unnest($keys)::varchar AS of_key
