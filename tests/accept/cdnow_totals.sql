-- What became of the purchases; twins: granted events beyond the first of equal (user, time, attributes).
WITH granted AS (
    SELECT e.user_id, e.occurred_at, e.attributes
    FROM event_met e JOIN decision d USING (tenant_id, event_key)
    WHERE tenant_id = $1 AND d.outcome = 'granted'
)
SELECT (SELECT count(*) FROM decision WHERE tenant_id = $1 AND outcome = 'granted'),
       (SELECT count(*) FROM decision WHERE tenant_id = $1 AND outcome = 'denied'),
       (SELECT count(*) FROM incentive WHERE tenant_id = $1),
       (SELECT count(*) FROM inbox WHERE tenant_id = $1),
       (SELECT sum(used)::bigint FROM limit_counter WHERE tenant_id = $1),
       (SELECT count(*) FROM granted) - (SELECT count(*) FROM (SELECT DISTINCT * FROM granted) AS kinds),
       (SELECT sum((attributes ->> 'cds')::bigint)::bigint FROM granted),
       (SELECT sum((attributes ->> 'amountCents')::bigint)::bigint FROM granted)
