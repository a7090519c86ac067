-- Each staged user once, with the number that it has, and those without one in their order. Locks nothing. $1 tenant.
-- Statements told apart by blank lines. Sorted rather than hashed: numbers are given in that order, which indexes like.
CREATE TEMP TABLE staged_user (user_id text COLLATE "C" NOT NULL, number integer)

INSERT INTO staged_user (user_id, number)
SELECT s.line, n.number FROM (SELECT DISTINCT line FROM staged_line) s
LEFT JOIN user_number n ON n.tenant_id = $1 AND n.user_id = s.line
ORDER BY s.line

CREATE TEMP TABLE staged_new AS
SELECT row_number() OVER ()::int AS place, user_id FROM staged_user WHERE number IS NULL

CREATE UNIQUE INDEX ON staged_new (place)

ANALYZE staged_new
