-- The variant of a campaign that a decision was made for, and that an incentive went to; null where the campaign has none,
-- or the user is held out. Locks both tables for a moment: nothing is rewritten.
ALTER TABLE decision ADD COLUMN variant text CONSTRAINT decision_variant_check CHECK (octet_length(variant) <= 63);
ALTER TABLE incentive ADD COLUMN variant text CONSTRAINT incentive_variant_check CHECK (octet_length(variant) <= 63);
