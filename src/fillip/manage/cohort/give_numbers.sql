-- Gives these users, who have none, the next numbers from :first on; the tenant's count is locked before. Locks nothing else.
WITH given AS (
    INSERT INTO user_number (tenant_id, user_id, number)
    SELECT :tenant_id, user_id, :first + place - 1
    FROM unnest(CAST(:users AS text[])) WITH ORDINALITY AS new (user_id, place)
    RETURNING user_id, number
), counted AS (
    UPDATE user_numbering SET numbered = numbered + (SELECT count(*) FROM given) WHERE tenant_id = :tenant_id
)
SELECT user_id, number FROM given
