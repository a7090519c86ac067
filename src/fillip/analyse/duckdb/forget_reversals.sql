-- Reversals of one partition go, before a snapshot puts them anew.
DELETE FROM reversal_fact WHERE partition = $1
