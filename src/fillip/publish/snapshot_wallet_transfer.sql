-- All transfers of points, each wallet's in order. Locks nothing.
SELECT * FROM wallet_transfer ORDER BY tenant_id, user_id, currency, seq
