-- What sweep and analyse may do, each by a role of its own: to see what is due, and to recognise an API key.
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['tenant', 'incentive', 'wallet', 'wallet_lot', 'coupon_generation', 'cohort_content'] LOOP
        EXECUTE format('CREATE POLICY find_due ON %I FOR SELECT TO fillip_sweep USING (true)', t);
        EXECUTE format('GRANT SELECT ON %I TO fillip_sweep', t);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION authenticate_key(bytea) TO fillip_analyse;
