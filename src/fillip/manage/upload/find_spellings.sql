-- Whether some staged codes differ by their case alone; then the first line with one that stood in another spelling before, and where.
-- Locks nothing. Two statements, told apart by a blank line.
SELECT EXISTS (SELECT FROM staged_part GROUP BY folded HAVING count(*) > 1)

WITH twice AS (
    SELECT folded FROM staged_part GROUP BY folded HAVING count(*) > 1
), numbered AS (
    SELECT row_number() OVER (ORDER BY ctid) AS number, line, lower(line) AS folded FROM staged_line
), told AS (
    SELECT n.number, n.line, first_value(n.number) OVER w AS first_number, first_value(n.line) OVER w AS first_line
    FROM numbered n JOIN twice USING (folded)
    WINDOW w AS (PARTITION BY n.folded ORDER BY n.number)
)
SELECT number, line, first_number, first_line FROM told WHERE line <> first_line ORDER BY number LIMIT 1
