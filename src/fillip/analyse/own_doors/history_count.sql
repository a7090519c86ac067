-- How many past events there are.
SELECT count(*) AS events FROM events
WHERE list_contains($actions, action)
  AND occurred_at >= make_timestamp($first_us) AT TIME ZONE 'UTC'
  AND occurred_at < make_timestamp($until_us) AT TIME ZONE 'UTC'
