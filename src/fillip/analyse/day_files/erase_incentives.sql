-- All incentives of `judged`, those of the erased user under the pseudonym.
SELECT j.* EXCLUDE (mine) REPLACE (
    if(mine, of_pseudonym, user_id) AS user_id, if(mine, of_key, event_id) AS event_id,
    if(mine AND event_source IS NOT NULL, 'erased', event_source) AS event_source)
FROM judged j CROSS JOIN erasing LEFT JOIN erasing_name ON of_source = event_source AND of_id = event_id
