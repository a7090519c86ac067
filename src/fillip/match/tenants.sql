-- What a book holds of its tenant itself. Locks nothing.
SELECT name, time_zone, currency, clock, holdout_percent, user_schema::text AS user_schema, book_version, merged_since IS NOT NULL AS has_merged,
       coalesce((SELECT numbered FROM user_numbering n WHERE n.tenant_id = tenant.tenant_id), 0) AS numbered
FROM tenant WHERE tenant_id = $1
