"""The sections of the settings: credentials, web, cluster, limits, receivers.

Secrets are read from files and held as SecretStr.
"""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    field_validator,
    model_validator,
)

from .errors import ConfigurationError
from .guards.situation import ProcessLimits
from .located import suggest
from .model.limit import BreakerLimit, StormLimit
from .model.usage import Rate
from .notify import RECEIVERS
from .notify.receiver import Given
from .ports import Notifier
from .rules.scalars import Duration, Rates, as_rate

LAST_PORT = 65535


class SettingsSection(BaseModel):
    """A part of the settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _secret(value: Any) -> Any:
    """A file that holds a secret, read now."""
    if not isinstance(value, str):
        raise ValueError("set the file that holds the secret")
    try:
        text = Path(value).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read {value}: {error.strerror}") from None
    if not text:
        raise ValueError(f"{value} is empty")
    return SecretStr(text)


LONGEST_NAME = 80  # of a caller: the journal has room for the two who approve
SecretFile = Annotated[SecretStr, BeforeValidator(_secret)]


def _listed(value: Any) -> Any:
    """One item or a list of items; an empty text is none."""
    return ((value,) if value else ()) if isinstance(value, str) else value


class Credential(SettingsSection):
    """A named caller: a bearer token, or a user with a password; secrets come from files."""

    name: str = Field(
        min_length=1, max_length=LONGEST_NAME, description="Name, as shown in the journal."
    )
    token_file: SecretFile | None = Field(default=None, description="File with the bearer token.")
    username: str = Field(default="", description="User name for basic authentication.")
    password_file: SecretFile | None = Field(
        default=None, description="File with the password for basic authentication."
    )
    certificate: str = Field(
        default="",
        description=(
            "Common name or DNS name of a client certificate signed by `web.client_ca` (mTLS)."
        ),
    )


class Source(Credential):
    """A configured Alertmanager (an HA pair is one source) and
    the cluster that its alerts are about.
    """

    cluster: str = Field(default="default", description="Name of the cluster.")
    alertmanager: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        default=(),
        description=(
            "URL of its Alertmanager, or a list with the URL of each instance; a name with several"
            " addresses (a headless Service) stands for all of them. Without it no alert can be"
            " confirmed active, and nothing acts."
        ),
    )


def _network(value: Any) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write an address, or a network such as 10.0.0.0/8") from None


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]


def _address(value: str) -> str:
    """A host and a port. Raises: ValueError."""
    host, _, port = value.rpartition(":")
    try:
        host.encode("idna")  # as the resolver will
        fine = port.isdecimal() and int(port) <= LAST_PORT and ":" in value
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"invalid address {value!r}; use host:port, such as 127.0.0.1:9099")
    return value


RateText = Annotated[Rate, BeforeValidator(as_rate), PlainSerializer(str, return_type=str)]


class Web(SettingsSection):
    """The HTTP server."""

    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:9099", description="Host and port to listen on."
    )
    tls_cert: str = Field(
        default="", description="Certificate file (PEM); together with `tls_key` enables HTTPS."
    )
    tls_key: str = Field(default="", description="Private key file (PEM).")
    trusted_proxy_header: str = Field(
        default="",
        description=(
            "Header in which a trusted proxy names the operator; ignored unless sent by"
            " `trusted_proxies`."
        ),
    )
    trusted_proxies: tuple[Network, ...] = Field(
        default=(), description="Addresses of the trusted proxies, or networks such as 10.0.0.0/8."
    )
    max_body_bytes: int = Field(
        default=8_000_000, ge=1, description="Maximum size of the body of a request, in bytes."
    )
    client_ca: str = Field(
        default="",
        description=(
            "File with the CA certificates (PEM) that sign client certificates, for credentials"
            " with a `certificate`."
        ),
    )
    source_rate: RateText | None = Field(
        default=None,
        description=(
            "Webhooks accepted from one source, such as 600/1m; more are answered with 503."
        ),
    )
    operator_rate: RateText = Field(
        default=Rate(600, timedelta(minutes=1)),
        description="Requests accepted from one operator; more are answered with 429.",
    )
    public_url: str = Field(
        default="", description="External URL of this server, used in approval links."
    )
    link_key_file: SecretFile | None = Field(
        default=None,
        description=(
            "File with a long random secret that signs approval links; without it no links are"
            " made."
        ),
    )
    max_waiting: int = Field(
        default=256,
        ge=1,
        description="Webhooks that may wait for the journal at once; more are answered with 503.",
    )


class ClusterSettings(SettingsSection):
    """The Kubernetes API."""

    kind: Literal["kubernetes", "sandbox"] = Field(
        default="kubernetes", description="A real cluster, or the in-memory sandbox."
    )
    kubeconfig: str = Field(
        default="", description="Kubeconfig file; empty = the pod's ServiceAccount."
    )
    context: str = Field(
        default="", description="Context in the kubeconfig; empty = its current one."
    )
    qps: float = Field(
        default=20.0, gt=0, description="Maximum requests per second to the API server."
    )
    watch: bool = Field(
        default=True,
        description=(
            "Keeps what rules look at up to date by watches, some kilobytes of memory per object;"
            " without, each look is made of requests."
        ),
    )


class LimitSettings(SettingsSection):
    """Limits across all rules."""

    root: Rates = Field(
        default=ProcessLimits().root, description="Attempts on one workload, by all rules together."
    )
    action: Rates = Field(
        default=(), description="Attempts with one action, by all rules together."
    )
    namespace: Rates = Field(
        default=ProcessLimits().namespace,
        description="Attempts in one namespace, by all rules together.",
    )
    all: Rates = Field(default=ProcessLimits().everything, description="Attempts in total.")


class StormSettings(SettingsSection):
    """When so many workloads are in trouble at once that they have a common cause."""

    roots: int = Field(
        default=StormLimit().roots,
        ge=0,
        description="Minimum number of workloads with firing alerts; 0 disables storm detection.",
    )
    share: float = Field(
        default=StormLimit().share,
        ge=0,
        le=1,
        description="Minimum fraction of the workloads in scope.",
    )
    calm: Duration = Field(
        default=StormLimit().calm,
        description="How long the numbers must stay below both until the storm is over.",
    )
    within: Duration | None = Field(default=None, description="No longer used; remove it.")


class BreakerSettings(SettingsSection):
    """When a rule is no longer trusted to act by itself."""

    bad: int = Field(
        default=BreakerLimit().bad,
        ge=0,
        description=(
            "Remediations that failed or did not help until the breaker opens; 0 disables it."
        ),
    )
    of: int = Field(
        default=BreakerLimit().of,
        ge=1,
        description="Number of the rule's latest remediations that are considered.",
    )
    quiet: Duration = Field(
        default=BreakerLimit().quiet,
        description="The breaker closes after this long without a bad outcome.",
    )

    @model_validator(mode="after")
    def _can_open(self) -> Self:
        if self.bad > self.of:
            raise ValueError(
                f"`bad` is {self.bad}, but only the last {self.of} remediations are considered"
                " (`of`): the breaker would never open"
            )
        return self


class ReceiverSettings(SettingsSection):
    """Where notifications are sent."""

    name: str = Field(min_length=1, description="Name by which rules refer to it.")
    kind: str = Field(
        default="log",
        description=(
            "The log, a JSON webhook, Slack, PagerDuty Events v2, or any service that Apprise"
            " supports."
        ),
    )
    tells: Literal["trouble", "everything"] = Field(
        default="trouble",
        description=(
            "`trouble`: only what rules escalate to it; `everything`: every step of"
            " every remediation too."
        ),
    )
    url: str = Field(
        default="",
        description=(
            "URL of the webhook, an Apprise URL, or a different API endpoint of the service."
        ),
    )
    url_file: SecretFile | None = Field(
        default=None, description="File with the URL, for a URL that contains a secret."
    )
    token_file: SecretFile | None = Field(
        default=None,
        description=(
            "File with the webhook's bearer token, Slack's bot token, or PagerDuty's routing key."
        ),
    )
    secret_file: SecretFile | None = Field(
        default=None,
        description="File with the secret that webhooks are signed with (standardwebhooks.com).",
    )
    channel: str = Field(default="", description="ID of the Slack channel.")

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in RECEIVERS:
            kinds = ", ".join(RECEIVERS)
            raise ValueError(
                f"unknown kind `{value}`{suggest(value, list(RECEIVERS))}; known: {kinds}"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        kind = RECEIVERS.get(self.kind)
        if kind is None:
            return self
        if self.tells == "everything" and not kind.steps:
            why = f"{self.kind} opens incidents; use `tells: trouble`"
            raise ValueError(f"receiver `{self.name}`: {why}")
        if not kind.complete(self._given()):
            raise ValueError(f"receiver `{self.name}` of kind {self.kind} needs {kind.needs}")
        return self

    def _given(self) -> Given:
        secret = {name: value.get_secret_value() for name, value in self.secrets().items()}
        return Given(
            secret.get("url_file") or self.url,
            secret.get("token_file", ""),
            secret.get("secret_file", ""),
            self.channel,
        )

    def make(self) -> Notifier:
        """The receiver that is described. Raises: ConfigurationError."""
        try:
            return RECEIVERS[self.kind].make(self._given())
        except ConfigurationError as error:
            raise ConfigurationError(f"receiver `{self.name}`: {error}") from None

    def secrets(self) -> dict[str, SecretStr]:
        """The secrets that are set, by the setting's name."""
        found = {
            "url_file": self.url_file,
            "token_file": self.token_file,
            "secret_file": self.secret_file,
        }
        return {name: value for name, value in found.items() if value is not None}
