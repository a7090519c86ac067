-- Roles without BYPASSRLS that own nothing. Their password is set by migrate(), never here.
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['fillip_api', 'fillip_worker', 'fillip_publish', 'fillip_sweep', 'fillip_gateway',
                             'fillip_analyse'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', r);
        END IF;
        EXECUTE format('ALTER ROLE %I SET synchronous_commit = on', r);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''2s''', r);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''10s''', r);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = ''60s''', r);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', r);
    END LOOP;
    -- owns the two look-ups that must see all tenants (a key or a ticket tells the tenant)
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fillip_auth') THEN
        CREATE ROLE fillip_auth NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
    ALTER ROLE fillip_publish REPLICATION;
    -- The ledger's statements look rows up by their whole key, however many: one plan fits all, so it is made once.
    ALTER ROLE fillip_worker SET plan_cache_mode = 'force_generic_plan';
    ALTER ROLE fillip_worker SET enable_seqscan = off;  -- a plan made while a table is empty must not be kept
    ALTER ROLE fillip_worker SET jit = off;
    ALTER ROLE fillip_publish SET idle_in_transaction_session_timeout = 0;
    ALTER ROLE fillip_publish SET statement_timeout = 0;
END $$;
