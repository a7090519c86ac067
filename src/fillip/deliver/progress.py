"""How far the user's quests are, and the user's levels, on one connection: state, of which only the newest matters, and never in the way.

What is to be shown waits in one place for each instance, where a newer state replaces an older one, until the session
is live and the client has read what was sent before. So a slow client misses states on the way, never the newest, and
incentives go first. States come announced and read from the ledger, in any order; an older one never follows a newer.
"""

from collections import OrderedDict
from collections.abc import Callable

import structlog
from prometheus_client import Counter
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from fillip.core.errors import Retry
from fillip.deliver.frames import encode_frame
from fillip.deliver.inbox import Inbox, InstanceId, State, User
from fillip.deliver.single_task import SingleTask
from fillip.stream.pause import Pause

OPEN_READ = 100
INSTANCES_KNOWN = 500
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.002, 1.0
FRAMES = Counter("fillip_deliver_progress_frames_total", "Quest progress frames pushed")
log = structlog.get_logger()


class ProgressWriter:
    """Writes to one connection how far its user's quests are, and how its levels change. Lives in the event loop's thread."""

    def __init__(self, connection: ServerConnection, inbox: Inbox, user: User, may_write: Callable[[], bool]) -> None:
        """`may_write` tells whether no incentive waits; when it has become true, call `resume`."""
        self._connection = connection
        self._inbox = inbox
        self._user = user
        self._may_write = may_write
        self._known: OrderedDict[InstanceId, int] = OrderedDict()  # the newest revision sent or waiting
        self._waiting: dict[InstanceId, State] = {}
        self._has_read = False  # until then what is known may be older than what the client saw on its last connection
        self._is_read_wanted = False
        self._reading = SingleTask(self._read)
        self._writing = SingleTask(self._write)

    def show(self, progress: State) -> None:
        """Send it as soon as it may be, unless it, or a newer state of the instance, has been shown before."""
        instance_id = progress.instance_id
        if progress.revision <= self._known.get(instance_id, 0):
            return
        self._known[instance_id] = progress.revision
        self._known.move_to_end(instance_id)
        self._waiting[instance_id] = progress
        if len(self._known) > INSTANCES_KNOWN:
            dropped, _ = self._known.popitem(last=False)
            self._waiting.pop(dropped, None)
        self.resume()

    def resume(self) -> None:
        """Go on writing, if anything waits and it may."""
        if self._has_read and self._waiting and self._may_write():
            self._writing.start()

    def catch_up(self) -> None:
        """Read from the ledger how far the open instances are, and those that were shown before."""
        self._is_read_wanted = True
        self._reading.start()

    def finish(self) -> None:
        """The connection is gone."""
        self._reading.cancel()
        self._writing.cancel()

    async def _write(self) -> None:
        try:
            while self._waiting and self._may_write():
                progress = self._waiting.pop(next(iter(self._waiting)))
                await self._connection.send(encode_frame(progress), text=True)  # waits for a client that reads slowly
                FRAMES.inc()
        except ConnectionClosed:
            return

    async def _read(self) -> None:
        pause = Pause(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while self._is_read_wanted:
            self._is_read_wanted = False
            if not await self._read_once():
                self._is_read_wanted = True
                await pause.take()

    async def _read_once(self) -> bool:
        """Show what the ledger has. False when it can't be read, or what was announced is not yet visible in it: then
        something else of the same commit may not be visible either.
        """
        announced = dict(self._known)
        try:
            found = await self._inbox.read_progress(self._user, list(announced), OPEN_READ)
        except Retry as error:
            log.warning("quest progress can't be read, will try again", error=str(error))
            return False
        except Exception as error:
            log.error("quest progress can't be read, will try again", exc_info=error)
            return False
        for progress in found:
            self.show(progress)
        self._has_read = True
        self.resume()
        stored = {progress.instance_id: progress.revision for progress in found}
        return all(stored.get(instance_id, 0) >= revision for instance_id, revision in announced.items())
