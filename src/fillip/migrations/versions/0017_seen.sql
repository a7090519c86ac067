-- The API may read up to where events are settled; locks consumer_position for a moment.
CREATE POLICY tell_settled ON consumer_position FOR SELECT TO fillip_api USING (true);
GRANT SELECT (topic, partition, generation, shard, next_offset) ON consumer_position TO fillip_api;
