"""The settings of the process: a YAML file over defaults.

Rules are not settings. Secrets are read from files and held as SecretStr.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import ConfigurationError
from .guards.situation import PROTECTED, ProcessLimits
from .located import load_file, without_echoes
from .model.limit import BreakerLimit, StormLimit
from .rules.scalars import Duration
from .rules.wording import worded
from .setting_sections import (
    BreakerSettings,
    ClusterSettings,
    Credential,
    LimitSettings,
    ReceiverSettings,
    SecretFile,
    SettingsSection,
    Source,
    StormSettings,
    Web,
)

SHORTEST_KEY = 32
JOURNAL_URL = (
    "SQLAlchemy URL of a SQLite file or a PostgreSQL database. Connect to PostgreSQL directly, not"
    " through a pooler: timeouts are passed as connection `options`."
)


def _can_be_spoken_for(section: str, credentials: Sequence[Credential]) -> None:
    """Each is known by something; a single source may do without. Raises: ValueError."""
    mute = [c.name for c in credentials if not (c.token_file or c.password_file or c.certificate)]
    if mute and (len(credentials) > 1 or section == "operators"):
        raise ValueError(
            f"`{mute[0]}` under `{section}` needs a token_file, password_file or certificate:"
            " without one it can never authenticate"
        )


Named = TypeVar("Named", bound=Credential | ReceiverSettings)


class Settings(SettingsSection):
    """All settings."""

    rules: tuple[str, ...] = Field(
        default=(), description="Rule files, or folders with rule files."
    )
    journal: str = Field(default="sqlite:///remediator.db", description=JOURNAL_URL)
    journal_file: SecretFile | None = Field(
        default=None, description="File that holds the URL, instead of `journal`."
    )
    journal_keep: Duration = Field(
        default=timedelta(days=90),
        description="How long ended remediations are kept before they are pruned.",
    )
    web: Web = Field(default=Web(), description="The HTTP server.")
    sources: tuple[Source, ...] = Field(
        default=(), description="Alertmanagers that may send webhooks."
    )
    operators: tuple[Credential, ...] = Field(
        default=(), description="People who may read the API and approve, cancel, pause and undo."
    )
    cluster: ClusterSettings = Field(default=ClusterSettings(), description="The Kubernetes API.")
    prometheus: str = Field(
        default="",
        description=(
            "URL of Prometheus, for `when` and `until` queries and for the ranges of"
            " alert expressions."
        ),
    )
    receivers: tuple[ReceiverSettings, ...] = Field(
        default=(ReceiverSettings(name="log"),), description="Where notifications are sent."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="Limits across all rules.")
    storm: StormSettings = Field(
        default=StormSettings(), description="Storm detection: many workloads with alerts at once."
    )
    breaker: BreakerSettings = Field(
        default=BreakerSettings(), description="Circuit breaker for rules that do not help."
    )
    protected_namespaces: tuple[str, ...] = Field(
        default=PROTECTED, description="Namespaces that are never acted on."
    )
    own_namespace: str = Field(
        default="", description="The namespace remediator runs in; never acted on."
    )
    settle: Duration = Field(
        default=timedelta(seconds=10), description="Time from an alert to its first evaluation."
    )
    startup_grace: Duration = Field(
        default=timedelta(minutes=2),
        description="How long after a start alerts from before it wait.",
    )
    quiet_for: Duration | None = Field(
        default=None, description="Overrides every step's `quiet_for`; for demonstrations."
    )
    workers: int = Field(default=4, ge=1, description="Remediations processed concurrently.")
    watchdog: str = Field(
        default="Watchdog",
        description="Name of the alert that always fires; empty = not expected.",
    )

    @field_validator("sources", "receivers", "operators")
    @classmethod
    def _named_apart(cls, listed: tuple[Named, ...]) -> tuple[Named, ...]:
        counted = Counter(item.name for item in listed)
        twice = [name for name, count in counted.items() if count > 1]
        if twice:
            raise ValueError(f"more than one is called {', '.join(twice)}; rename the others")
        return listed

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        clusters = sorted({source.cluster for source in self.sources})
        if len(clusters) > 1:
            raise ValueError(
                f"`sources` name {len(clusters)} clusters ({', '.join(clusters)}), and one daemon"
                " acts on one: run a remediator for each cluster"
            )
        _can_be_spoken_for("sources", self.sources)
        _can_be_spoken_for("operators", self.operators)
        named = [c.name for c in (*self.sources, *self.operators) if c.certificate]
        if named and not (self.web.client_ca and self.web.tls_cert):
            raise ValueError(
                f"`{named[0]}` uses a certificate: also set web.client_ca, web.tls_cert and"
                " web.tls_key"
            )
        return self

    @model_validator(mode="after")
    def _links_lead_somewhere(self) -> Self:
        key = self.web.link_key_file
        if key is None:
            return self
        if not self.web.public_url:
            raise ValueError(
                "web.link_key_file needs web.public_url: the address that links lead to"
            )
        if len(key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(
                f"the secret in web.link_key_file is shorter than {SHORTEST_KEY} characters; use"
                " `openssl rand -hex 32`"
            )
        if not (self.operators or self.web.trusted_proxy_header):
            raise ValueError(
                "web.link_key_file needs `operators`, or a trusted proxy: otherwise nobody can"
                " decide"
            )
        return self

    @property
    def journal_url(self) -> str:
        """The journal's URL, wherever it is set."""
        return self.journal_file.get_secret_value() if self.journal_file else self.journal

    @property
    def process_limits(self) -> ProcessLimits:
        """What the guards take."""
        limits = self.limits
        return ProcessLimits(
            limits.root,
            limits.action,
            limits.namespace,
            limits.all,
            self.startup_grace,
            self.protected_namespaces,
            StormLimit(self.storm.roots, self.storm.share, self.storm.calm),
            BreakerLimit(self.breaker.bad, self.breaker.of, self.breaker.quiet),
        )


def load(path: Path | None) -> Settings:
    """Reads the settings file, or the defaults.

    Raises: ConfigurationError with every mistake and its place.
    """
    if path is None:
        return Settings()
    try:
        document = load_file(path)
    except OSError as error:
        raise ConfigurationError(f"cannot read the settings {path}: {error.strerror}") from None
    found = list(document.findings)
    try:
        settings = Settings.model_validate(document.data or {})
        if not found:
            return settings
    except ValidationError as error:
        found += worded(document, error, fields=_fields())
    told = "\n".join(finding.render() for finding in without_echoes(found))
    raise ConfigurationError(f"cannot start with these settings:\n{told}")


def _fields() -> list[str]:
    models: list[type[BaseModel]] = [
        Settings,
        Web,
        ClusterSettings,
        LimitSettings,
        StormSettings,
        BreakerSettings,
        ReceiverSettings,
        Source,
        Credential,
    ]
    return sorted(set(chain.from_iterable(model.model_fields for model in models)))
