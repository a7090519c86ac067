-- How many users were staged, in how many bytes and parts. Locks nothing.
SELECT coalesce(sum(size), 0)::int AS size, coalesce(sum(octet_length(members)), 0)::int AS octets, count(*)::int AS parts
FROM staged_part
