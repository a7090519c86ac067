-- Stores an import, and nothing where there is one of this id; then the staged rows in portions of $3, in the order of wallets. Locks the
-- new row. Two statements, told apart by a blank line.
INSERT INTO balance_import (tenant_id, import_id, content_hash, rows, users, sums) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING true

INSERT INTO balance_import_portion (tenant_id, import_id, number, rows)
SELECT $1, $2, (n - 1) / $3 + 1,
       json_agg(json_build_array(line, user_id, currency, amount, available_at, expires_at, id) ORDER BY n)::text
FROM (SELECT *, row_number() OVER (ORDER BY user_id, currency, line) AS n FROM staged_balance) AS s
GROUP BY (n - 1) / $3
