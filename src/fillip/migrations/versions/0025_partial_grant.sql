-- Whether a limit by value gives what is left; locks spending_limit for a moment.
ALTER TABLE spending_limit ADD COLUMN "over" text NOT NULL DEFAULT 'refuse' CHECK ("over" IN ('refuse', 'partial'));
ALTER TABLE spending_limit ADD CHECK ("over" = 'refuse' OR (measure = 'value' AND reward_kind IN ('points', 'cashback')));
