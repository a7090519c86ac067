-- The events of a tenant that came again with another body.
SELECT DISTINCT event_source || ' ' || event_id FROM rejection WHERE tenant_id = %s AND reason = 'conflicting_duplicate'
