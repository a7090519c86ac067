-- What expires next in each of a user's wallets, brought up to their time; no row where nothing does.
SELECT asked.currency, e.expires_at, e.amount
FROM unnest(CAST(:currencies AS text[]), CAST(:activated_to AS timestamptz[]), CAST(:expired_to AS timestamptz[]),
            CAST(:owed AS bigint[])) AS asked (currency, activated_to, expired_to, owed)
CROSS JOIN LATERAL find_next_expiry(:tenant_id, :user_id, asked.currency, asked.activated_to, asked.expired_to,
                                    asked.owed) AS e
