-- What a book holds of its tenant itself. Locks nothing.
SELECT name, time_zone, currency, clock, holdout_percent, user_schema::text AS user_schema, book_version
FROM tenant WHERE tenant_id = $1
