-- Which campaign a public code brings: the newest that was launched with it. Locks nothing that was there.
CREATE TABLE public_code (
    tenant_id     text NOT NULL CHECK (octet_length(tenant_id) <= 63),
    folded        text NOT NULL CHECK (octet_length(folded) <= 64),  -- as codes are compared
    campaign_id   text NOT NULL CHECK (octet_length(campaign_id) <= 63),
    PRIMARY KEY (tenant_id, folded),
    FOREIGN KEY (tenant_id, campaign_id) REFERENCES campaign
);
CREATE INDEX public_code_campaign ON public_code (tenant_id, campaign_id);
ALTER TABLE public_code ENABLE ROW LEVEL SECURITY;
ALTER TABLE public_code FORCE ROW LEVEL SECURITY;
CREATE POLICY one_tenant ON public_code TO fillip_api USING (tenant_id = current_setting('app.tenant', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON public_code TO fillip_api;
