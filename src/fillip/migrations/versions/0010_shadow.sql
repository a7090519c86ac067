-- A campaign may be in shadow, and what is decided of it then is marked; what its quest instances are is announced to
-- nobody: they stand under the campaign's id, a ~ and the version. Locks these tables: nothing is rewritten, quests are read once.
ALTER TABLE campaign DROP CONSTRAINT campaign_state_check;
ALTER TABLE campaign ADD CONSTRAINT campaign_state_check
    CHECK (state IN ('draft', 'shadow', 'scheduled', 'running', 'paused', 'ended', 'archived'));
ALTER TABLE decision ADD COLUMN shadow boolean NOT NULL DEFAULT false;
ALTER PUBLICATION fillip DROP TABLE quest_instance;
ALTER PUBLICATION fillip ADD TABLE quest_instance WHERE (position('~' IN campaign_id) = 0);
ALTER TABLE quest_instance DROP CONSTRAINT campaign_id_bytes;
ALTER TABLE quest_instance ADD CONSTRAINT campaign_id_bytes CHECK (octet_length(campaign_id) <= 74);
ALTER TABLE quest_step_met DROP CONSTRAINT campaign_id_bytes;
ALTER TABLE quest_step_met ADD CONSTRAINT campaign_id_bytes CHECK (octet_length(campaign_id) <= 74);
