"""Notifications are written to the daemon's log, as events named `notification`.

Needs no settings, and is the default.
"""

from ..model.notice import Notice
from ..telemetry import log
from .receiver import ReceiverKind


class LogReceiver:
    """Writes to the log."""

    kind = "log"

    async def notify(self, message: Notice, ref: str = "") -> str:
        """One line."""
        log().warning("notification", **message.payload())
        return ""


RECEIVER = ReceiverKind("log", __doc__, "nothing", lambda given: True, lambda given: LogReceiver())
