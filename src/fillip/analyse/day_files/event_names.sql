-- The names of the erased user's events, as rows of `judged` tell them.
SELECT DISTINCT event_source, event_id FROM judged WHERE mine AND event_source IS NOT NULL AND event_id IS NOT NULL
