SELECT tell_changes('reversed', $1::text[], $2::uuid[], $3::bigint[], $4::text[], $5::text[])
