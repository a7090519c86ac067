-- What these granted decisions were decided by: the campaign's version, the user's attributes, and the schemas of those and of the action at
-- the version of the book. Locks nothing: none of it ever changes.
SELECT d.decision_id, d.tenant_id, d.campaign_id, d.campaign_version, d.book_version, d.occurred_at,
       d.user_attributes::text AS user_attributes, v.definition::text AS definition, v.checked::text AS checked, t.user_schema, a.schema
FROM unnest($1::text[], $2::uuid[]) AS asked (tenant_id, decision_id)
JOIN decision d ON d.tenant_id = asked.tenant_id AND d.decision_id = asked.decision_id
JOIN campaign_version v
  ON v.tenant_id = d.tenant_id AND v.campaign_id = d.campaign_id AND v.version = d.campaign_version
CROSS JOIN LATERAL (
    SELECT (c.document -> 'user_schema')::text AS user_schema FROM book_change c
    WHERE c.tenant_id = d.tenant_id AND c.kind = 'tenant' AND c.object_id = d.tenant_id AND c.book_version <= d.book_version
    ORDER BY c.book_version DESC LIMIT 1
) t
CROSS JOIN LATERAL (
    SELECT (c.document -> 'schema')::text AS schema FROM book_change c
    WHERE c.tenant_id = d.tenant_id AND c.kind = 'action' AND c.object_id = v.definition ->> 'action' AND c.book_version <= d.book_version
    ORDER BY c.book_version DESC LIMIT 1
) a
