-- What events gave to steps that count different values. Locks quest_step_met for an instant: the default is a constant.
ALTER TABLE quest_step_met ADD COLUMN value text NOT NULL DEFAULT '';
ALTER TABLE quest_step_met ADD CONSTRAINT value_bytes CHECK (octet_length(value) <= 256);

-- Such values may name persons: of an erased user, whose rows stand under the pseudonym by now and are locked, none is left.
-- Nothing counts for these instances any more, so nothing needs them.
CREATE FUNCTION erase_values(of_tenant text, pseudonym text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    campaigns text[];
BEGIN
    SELECT array_agg(DISTINCT q.campaign_id) INTO campaigns
    FROM quest_instance q WHERE q.tenant_id = of_tenant AND q.user_id = pseudonym AND q.steps @? '$[*].values';
    IF campaigns IS NULL THEN
        RETURN;
    END IF;
    UPDATE quest_step_met m SET value = ''
    WHERE m.tenant_id = of_tenant AND m.campaign_id = ANY (campaigns) AND m.user_id = pseudonym AND m.value <> '';
    UPDATE quest_instance q
    SET steps = (SELECT jsonb_agg(s.step - 'values' ORDER BY s.place)
                 FROM jsonb_array_elements(q.steps) WITH ORDINALITY AS s (step, place)),
        revision = q.revision + 1
    WHERE q.tenant_id = of_tenant AND q.campaign_id = ANY (campaigns) AND q.user_id = pseudonym AND q.steps @? '$[*].values';
END $$;
GRANT CREATE ON SCHEMA public TO fillip_eraser;
ALTER FUNCTION erase_values(text, text) OWNER TO fillip_eraser;
REVOKE CREATE ON SCHEMA public FROM fillip_eraser;
REVOKE ALL ON FUNCTION erase_values(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_values(text, text) TO fillip_api;
