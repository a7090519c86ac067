"""PostgreSQL, Valkey and Kafka as real child processes in one state folder, or external ones by URL."""
