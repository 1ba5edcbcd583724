"""The log."""

from collections.abc import Mapping
from typing import Any

from ..telemetry import log
from .receiver import ReceiverKind


class LogReceiver:
    """Tells the log."""

    kind = "log"

    async def notify(self, message: Mapping[str, Any], ref: str = "") -> str:
        """One line."""
        log().warning("people_told", **message)
        return ""


RECEIVER = ReceiverKind("log", "nothing", lambda given: True, lambda given: LogReceiver())
