-- Each code once, numbered. Two statements, told apart by a blank line.
CREATE TEMP TABLE staged_part AS
SELECT row_number() OVER (ORDER BY line)::int AS number, line AS code, lower(line) AS folded FROM (SELECT DISTINCT line FROM staged_line) once

CREATE UNIQUE INDEX ON staged_part (number)
