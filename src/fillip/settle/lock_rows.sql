-- Locks counters of users, wallets, inbox heads and shared counters, each in the order of their keys, and all of one before any of the next:
-- an append runs its parts one after the other. `{...}` stands for the statement of that name, see locks_postgres.py.
WITH own AS MATERIALIZED ({own}),
     wallets AS MATERIALIZED ({wallets}),
     heads AS MATERIALIZED ({heads}),
     shared AS MATERIALIZED ({shared}),
     caps AS MATERIALIZED ({caps})
SELECT 'own' AS part, own AS found FROM own
UNION ALL SELECT 'wallets', wallets FROM wallets
UNION ALL SELECT 'heads', heads FROM heads
UNION ALL SELECT 'shared', shared FROM shared
UNION ALL SELECT 'caps', caps FROM caps
