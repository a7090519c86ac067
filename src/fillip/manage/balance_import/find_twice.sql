-- Staged rows with an id that an earlier one has, the first hundred by line, and how many there are. Locks nothing.
WITH told AS (
    SELECT line, min(line) OVER (PARTITION BY id) AS first FROM staged_balance WHERE id IS NOT NULL
)
SELECT line, first, count(*) OVER () AS count FROM told WHERE line > first ORDER BY line LIMIT 100
