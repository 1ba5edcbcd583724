"""The log."""

from collections.abc import Mapping
from typing import Any

from ..telemetry import log


class LogReceiver:
    """Tells the log."""

    kind = "log"

    async def notify(self, message: Mapping[str, Any], ref: str = "") -> str:
        """One line."""
        log().warning("people_told", **message)
        return ""
