"""The one error of this folder."""

from fillip.core.errors import Crash


class ServerFailed(Crash):
    """A server could not be started or reached; the first line says what, where and what to do."""
