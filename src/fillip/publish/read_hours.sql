-- What campaigns decided, hour by hour (UTC) since an instant, for the live counts. Locks nothing.
SELECT tenant_id, campaign_id, to_char(decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24') AS hour,
       count(*) FILTER (WHERE outcome = 'granted') AS granted, count(*) FILTER (WHERE outcome = 'denied') AS denied,
       '' AS kind, 0 AS value, 0 AS reversed
FROM decision WHERE tenant_id = %(tenant)s AND decided_at >= %(since)s AND decided_at < now() + interval '1 day' GROUP BY 1, 2, 3
UNION ALL
SELECT tenant_id, campaign_id, to_char(granted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24'), 0, 0,
       kind || ':' || coalesce(currency, ''), sum(value)::bigint, sum(reversed_value)::bigint
FROM incentive WHERE tenant_id = %(tenant)s AND granted_at >= %(since)s AND granted_at < now() + interval '1 day' GROUP BY 1, 2, 3, kind, currency
