-- Makes the role that `take_lock.sql` locks, where it is missing. Who makes it at the same time waits for the other's end here.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fillip_auth') THEN
        CREATE ROLE fillip_auth NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;  -- another has made it
END $$;
