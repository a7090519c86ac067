"""PostgreSQL, Valkey and Kafka as real child processes in one state folder, or external ones by URL."""

from fillip.app.embedded.errors import ServerFailed
from fillip.app.embedded.servers import Addresses, External, Servers

__all__ = ["Addresses", "External", "ServerFailed", "Servers"]
