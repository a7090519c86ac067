-- All decisions of `judged`, those of the erased user under the pseudonym and written as in the ledger.
SELECT j.* EXCLUDE (mine) REPLACE (
    if(mine, of_pseudonym, user_id) AS user_id, if(mine, of_key, event_id) AS event_id,
    if(mine AND event_source IS NOT NULL, 'erased', event_source) AS event_source,
    CASE WHEN mine AND strpos(instance, '#') > 0
        THEN md5(of_salt || regexp_replace(instance, '#[0-9]+$', '')) || regexp_extract(instance, '#[0-9]+$')
        ELSE instance END AS instance)
FROM judged j CROSS JOIN erasing LEFT JOIN erasing_name ON of_source = event_source AND of_id = event_id
