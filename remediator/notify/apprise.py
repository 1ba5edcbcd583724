"""Any service that Apprise supports, such as mail, Teams, Discord, Telegram, ntfy or Matrix.

Set `url`, or `url_file` if it contains a secret, to an Apprise URL. `apprise --details` lists the
supported services and their URLs.
"""

import asyncio

from ..errors import ConfigurationError
from ..model.notice import Notice
from .receiver import ReceiverKind
from .words import details, severity, title

TIMEOUT = 20.0
KINDS = {"critical": "failure", "warning": "warning", "info": "success"}


class AppriseReceiver:
    """One Apprise URL."""

    kind = "apprise"

    def __init__(self, url: str) -> None:
        import apprise

        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise ConfigurationError(
                "invalid Apprise URL; `apprise --details` lists the supported services"
            )

    async def notify(self, message: Notice, ref: str = "") -> str:
        """Raises: OSError if it was not accepted, TimeoutError."""
        import apprise

        async with asyncio.timeout(TIMEOUT):
            taken = await self._apprise.async_notify(
                title=title(message),
                body="\n".join(details(message)),
                notify_type=apprise.NotifyType(KINDS[severity(message)]),
                # labels are untrusted: where a service shows HTML they are escaped
                body_format=apprise.NotifyFormat.TEXT,
            )
        if not taken:
            raise OSError("the service behind the Apprise URL rejected the message")
        return ""


RECEIVER = ReceiverKind(
    "apprise",
    __doc__,
    "url or url_file",
    lambda given: bool(given.url),
    lambda given: AppriseReceiver(given.url),
)
