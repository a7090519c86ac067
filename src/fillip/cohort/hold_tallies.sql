-- Who takes reversals out of the tallies of a tenant has them alone: nobody is adding an event who has not seen the reversal. Locks them.
SELECT pg_advisory_xact_lock(hashtextextended($1::text, 64020183))
