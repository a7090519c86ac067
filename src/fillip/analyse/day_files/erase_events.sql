-- All events of `judged`, with what was sent of the erased user left out: what happened when stays, under the pseudonym.
SELECT j.* EXCLUDE (mine) REPLACE (
    if(mine, of_pseudonym, user_id) AS user_id, if(mine, event_key::varchar, id) AS id, if(mine, 'erased', source) AS source,
    if(mine, '{}', data) AS data)
FROM judged j CROSS JOIN erasing
