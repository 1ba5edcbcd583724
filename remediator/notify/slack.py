"""Slack: one thread per remediation, whose first message shows the current state.

Set `token_file` to a file with a bot token (scope `chat:write`), and `channel` to the channel's ID.
"""

from typing import Any

from ..model.notice import Notice
from ..telemetry import log
from .receiver import ReceiverKind
from .words import details, severity, title

TIMEOUT = 10
MARKS = {
    "critical": ":red_circle:",
    "warning": ":large_orange_circle:",
    "info": ":large_green_circle:",
}
LONGEST, MOST = 3000, 10  # characters of a text, and blocks that follow the title
API = "https://slack.com/api/"
# what Slack says of a message that cannot be updated, ever
NEVER_UPDATED = {"message_not_found", "cant_update_message", "edit_window_closed"}


class SlackReceiver:
    """Posts as a bot (scope chat:write) to a channel, by its ID."""

    kind = "slack"

    def __init__(self, token: str, channel: str, url: str = "") -> None:
        from slack_sdk.web.async_client import AsyncWebClient

        self._client = AsyncWebClient(token, base_url=url or API, timeout=TIMEOUT)
        self._channel = channel

    async def notify(self, message: Notice, ref: str = "") -> str:
        """Opens the remediation's thread, or updates its first message and adds to it. Raises:
        OSError.
        """
        from slack_sdk.errors import SlackClientError

        head = f"{MARKS[severity(message)]} *{_plain(title(message))}*"
        body = "\n".join(_plain(line) for line in details(message))
        said: dict[str, Any] = {
            "text": f"{head}\n{body}"[:LONGEST],
            "blocks": _blocks(head, message),
        }
        new = {**said, "unfurl_links": False, "unfurl_media": False}
        try:
            if not ref:
                answer = await self._client.chat_postMessage(channel=self._channel, **new)
                return f"{answer['channel']}/{answer['ts']}"
            channel, _, thread = ref.partition("/")
            # first what may be repeated: each try would post the reply again
            await self._update(channel, thread, said)
            await self._client.chat_postMessage(channel=channel, thread_ts=thread, **new)
        # the client takes any JSON for an object
        except (SlackClientError, AttributeError) as error:
            raise OSError(f"Slack rejected the message: {_why(error)}") from None
        return ref

    async def _update(self, channel: str, thread: str, said: dict[str, Any]) -> None:
        """Updates the first message. If Slack never lets it, what is new is still posted."""
        from slack_sdk.errors import SlackApiError

        try:
            await self._client.chat_update(channel=channel, ts=thread, **said)
        except SlackApiError as error:
            if _why(error) not in NEVER_UPDATED:
                raise
            log().warning("slack_message_not_updated", channel=channel, why=_why(error))


def _blocks(head: str, message: Notice) -> list[dict[str, Any]]:
    """What is shown; `text` is only for push notifications. Only the title and our own link contain
    markup.
    """
    body, link = "\n".join(details(message)), message.link
    parts = [body[at : at + LONGEST] for at in range(0, len(body), LONGEST)][:MOST]
    texts = [
        {"type": "mrkdwn", "text": head},
        *({"type": "plain_text", "text": part, "emoji": False} for part in parts),
    ]
    if link:
        text = f"<{_plain(str(link))}|Review the plan and decide>"
        texts.append({"type": "mrkdwn", "text": text})
    return [{"type": "section", "text": text} for text in texts]


def _why(error: Exception) -> str:
    """Slack's word for what is wrong, if it was Slack that answered."""
    data = getattr(getattr(error, "response", None), "data", None)
    said = data.get("error") if isinstance(data, dict) else None
    return str(said or type(error).__name__)


def _plain(text: str) -> str:
    """Text without links or mentions: labels are untrusted."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


RECEIVER = ReceiverKind(
    "slack",
    __doc__,
    "token_file and channel",
    lambda given: bool(given.token and given.channel),
    lambda given: SlackReceiver(given.token, given.channel, given.url),
)
