-- All rejections of `judged`, those of the erased user without names and detail.
SELECT j.* EXCLUDE (mine) REPLACE (
    if(mine, 'erased', detail) AS detail, if(mine, of_pseudonym, event_id) AS event_id, if(mine, 'erased', event_source) AS event_source)
FROM judged j CROSS JOIN erasing
