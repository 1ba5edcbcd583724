"""Receivers: where the outbox delivers. One file for each kind; what a kind needs is imported when one is made."""

from ..ports import Notifier
from ..settings import ReceiverSettings
from .log import LogReceiver
from .webhook import WebhookReceiver


def make(settings: ReceiverSettings) -> Notifier:
    """The receiver that the settings describe; they were checked when they were read."""
    secret = {name: value.get_secret_value() for name, value in settings.secrets().items()}
    match settings.kind:
        case "webhook":
            return WebhookReceiver(
                settings.url or secret["url_file"],
                secret.get("token_file", ""),
                secret.get("secret_file", ""),
            )
        case "slack":
            from .slack import SlackReceiver

            return SlackReceiver(secret["token_file"], settings.channel, settings.url)
        case "pagerduty":
            from .pagerduty import PagerDutyReceiver

            return PagerDutyReceiver(secret["token_file"], settings.url)
        case "apprise":
            from .apprise import AppriseReceiver

            return AppriseReceiver(secret.get("url_file") or settings.url)
    return LogReceiver()
