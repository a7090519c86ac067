-- Each user once, sorted, some 2,000 bytes of ids a row. Two statements, told apart by a blank line.
CREATE TEMP TABLE staged_part AS
SELECT row_number() OVER (ORDER BY part)::int AS number, min(line) AS first_id, string_agg(line, E'\n' ORDER BY line) AS members,
       count(*) AS size
FROM (
    SELECT line, sum(octet_length(line) + 1) OVER (ORDER BY line ROWS UNBOUNDED PRECEDING) / 2000 AS part
    FROM (SELECT DISTINCT line FROM staged_line) once
) parted
GROUP BY part

CREATE UNIQUE INDEX ON staged_part (number)
