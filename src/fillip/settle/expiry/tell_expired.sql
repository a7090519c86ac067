-- Tells users what of their incentives has expired. Locks their inbox heads, in the order of the rows given.
SELECT tell_changes('expired', $1::text[], $2::uuid[], $3::bigint[],
                    array_fill(NULL::text, ARRAY[$4::int]), array_fill(NULL::text, ARRAY[$4::int]))
