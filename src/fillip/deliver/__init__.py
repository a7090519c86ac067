"""Step 6, topic → user: what was granted is pushed to the user's sockets; the inbox in PostgreSQL is the truth."""

from fillip.deliver.feed import OpenTail
from fillip.deliver.gateway import run_gateway
from fillip.deliver.inbox import Admission, Inbox, InboxEntry, User

__all__ = ["Admission", "Inbox", "InboxEntry", "OpenTail", "User", "run_gateway"]
