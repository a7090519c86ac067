-- A content without parts goes. Locks its row.
DELETE FROM cohort_content WHERE tenant_id = $1 AND content_id = $2 AND NOT is_in_force
