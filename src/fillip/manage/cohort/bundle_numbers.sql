-- The numbers of the staged users, chunk by chunk, four bytes each. Locks nothing.
SELECT string_agg(int4send(number), ''::bytea) AS numbers FROM staged_user WHERE number IS NOT NULL GROUP BY number >> 16
