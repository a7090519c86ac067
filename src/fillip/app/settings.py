"""Settings of every process, from the environment (FILLIP_*)."""

import json
import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fillip.app.addresses import check_bootstrap, check_clickhouse, check_dsn, check_url, secure_dsn, secure_url
from fillip.core.errors import Crash
from fillip.core.hot import HotTerms
from fillip.core.sketch import MAX_DEPTH, MAX_WIDTH, SketchShape
from fillip.migrations import ROLES, role_dsn

Port = Annotated[int, Field(ge=1, le=65_535)]
Dsn = Annotated[str, AfterValidator(check_dsn)]
Sasl = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

PROCESSES = ("api", "gateway", "publish", "worker", "sweep", "analyse", "cohort")
KAFKA_SECURITY = ("kafka_ca", "kafka_cert", "kafka_key", "kafka_sasl", "kafka_user", "kafka_password")
KAFKA = ("kafka_bootstrap", *KAFKA_SECURITY)
HOT = ("hot_width", "hot_depth", "hot_window_s", "hot_threshold")
CLICKHOUSE = ("clickhouse_url", "clickhouse_ca")
ANALYSE = ("analyse_port", "analyse_url", "analyse_key")
_ANY = ("host", "metrics_port", "topic_prefix")
_NEEDS: dict[str, tuple[str, ...]] = {
    "api": (*_ANY, *KAFKA, *HOT, "valkey_url", "operator_key", *ANALYSE, "api_port", "gateway_port", "gateway_url"),
    "worker": (*_ANY, *KAFKA, *HOT, "valkey_url"),
    "publish": (*_ANY, *KAFKA, "valkey_url"),
    "sweep": (*_ANY, *KAFKA, *ANALYSE),
    "backtest": ("host", *ANALYSE),  # a process of sweep's own
    "backfill": ("host", "topic_prefix", *ANALYSE),  # likewise
    "gateway": (*_ANY, *KAFKA, "gateway_port", "allowed_origins"),
    "analyse": (*_ANY, *KAFKA, "valkey_url", "analyse_port", "analyse_key", "state_dir", "event_days", *CLICKHOUSE),
    "cohort": (*_ANY, *KAFKA),
}
_LOGINS: dict[str, tuple[str, ...]] = {
    "api": ("fillip_api", "fillip_worker"),
    "worker": ("fillip_worker",),
    "publish": ("fillip_publish",),
    "sweep": ("fillip_sweep", "fillip_worker", "fillip_api"),
    "backtest": ("fillip_worker",),
    "backfill": ("fillip_worker",),
    "gateway": ("fillip_gateway",),
    "analyse": ("fillip_analyse",),
    "cohort": ("fillip_cohort", "fillip_worker", "fillip_api"),
}
"""The roles that each process logs in as. The API's operator needs the owner besides."""

LOOKS_LIKE = 0.85
_ELSEWHERE = {"FILLIP_CACHE", "FILLIP_KEY", "FILLIP_TEST_CLICKHOUSE_URL", "FILLIP_URL"}
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_")
"""What it tells each container of a service that is called fillip-…"""


class Settings(BaseModel):
    """Where the servers are and where our own doors open. Secrets come from here only, and show in no repr.

    The addresses of PostgreSQL and Valkey come with their TLS folded in, so that they are all that a client needs.
    """

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    postgres_dsn: Dsn | None = Field(default=None, repr=False, description="PostgreSQL as the owner of the schema")
    api_dsn: Dsn | None = Field(default=None, repr=False)
    worker_dsn: Dsn | None = Field(default=None, repr=False)
    publish_dsn: Dsn | None = Field(default=None, repr=False)
    sweep_dsn: Dsn | None = Field(default=None, repr=False)
    gateway_dsn: Dsn | None = Field(default=None, repr=False)
    analyse_dsn: Dsn | None = Field(default=None, repr=False)
    cohort_dsn: Dsn | None = Field(default=None, repr=False)
    postgres_ca: FilePath | None = None
    postgres_cert: FilePath | None = None
    postgres_key: FilePath | None = None
    valkey_url: Annotated[str, AfterValidator(check_url)] = Field(default="redis://127.0.0.1:6379/0", repr=False)
    valkey_ca: FilePath | None = None
    valkey_cert: FilePath | None = None
    valkey_key: FilePath | None = None
    kafka_bootstrap: Annotated[str, AfterValidator(check_bootstrap)] = "127.0.0.1:9092"
    kafka_ca: FilePath | None = None
    kafka_cert: FilePath | None = None
    kafka_key: FilePath | None = None
    kafka_sasl: Sasl | None = None
    kafka_user: str | None = None
    kafka_password: str | None = Field(default=None, repr=False)
    clickhouse_url: Annotated[str, AfterValidator(check_clickhouse)] | None = Field(
        default=None, repr=False, description="where analyse keeps the facts of reports; none: in its own file"
    )
    clickhouse_ca: FilePath | None = None
    topic_prefix: str = Field(default="", description="put before every topic's name")
    partitions: int = Field(
        default=8, ge=1, le=1000, description="partitions of the topics that are keyed by user; on the embedded Kafka 2"
    )
    operator_key: str | None = Field(
        default=None, repr=False, description="the operator's key for /v1/tenants; none: refused"
    )
    state_dir: Path = Path(".fillip/state")
    event_days: int = Field(
        default=400, ge=1, le=36_500, description="how long analyse keeps events for SQL, in days from their receipt"
    )
    host: str = "127.0.0.1"
    api_port: Port = 8080
    gateway_port: Port = 8081
    gateway_url: str | None = Field(
        default=None, description="where clients open their stream; default: the gateway itself"
    )
    analyse_port: Port = 8082
    analyse_url: Annotated[str, Field(pattern="^https?://[^/?#]+$")] | None = Field(
        default=None, description="where api and sweep find analyse; default: its port on this host"
    )
    analyse_key: Annotated[str, Field(pattern="^[!-~]{20,200}$")] | None = Field(
        default=None,
        repr=False,
        description="by which api and sweep ask analyse; none: no cohorts by query, no backtests",
    )
    metrics_port: Port | None = Field(default=None, description="metrics and health of this process; none: not served")
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="exact origins of web pages that may open a stream"
    )
    hot_width: int = Field(default=272, ge=16, le=MAX_WIDTH, description="cells of a row of the sketch")
    hot_depth: int = Field(default=5, ge=1, le=MAX_DEPTH, description="rows of the sketch")
    hot_window_s: int = Field(
        default=600, ge=1, le=86_400, description="of the windows that hot campaigns are counted in"
    )
    hot_threshold: int = Field(
        default=5_000, ge=1, le=1_000_000_000, description="events in a window from which one is hot"
    )

    @model_validator(mode="after")
    def _fold_tls(self) -> Self:
        _check_pairs(self)
        for name in ("postgres_dsn", *map(name_dsn, ROLES)):
            if dsn := getattr(self, name):
                setattr(self, name, secure_dsn(dsn, self.postgres_ca, self.postgres_cert, self.postgres_key))
        if self.valkey_ca or self.valkey_cert:
            self.valkey_url = secure_url(self.valkey_url, self.valkey_ca, self.valkey_cert, self.valkey_key)
        return self

    @property
    def hot_terms(self) -> HotTerms:
        """How hot campaigns are counted; the same for all workers and the API."""
        shape = SketchShape(width=self.hot_width, depth=self.hot_depth)
        return HotTerms(shape=shape, window_s=self.hot_window_s, threshold=self.hot_threshold)

    @property
    def analyse_base(self) -> str:
        """The base URL of analyse."""
        return self.analyse_url or f"http://{self.host}:{self.analyse_port}"

    def dsn(self, role: str) -> str:
        """The DSN for one of Fillip's roles: its own, or one that follows from the owner's. Raises Crash without either."""
        own: str | None = getattr(self, name_dsn(role))
        if own is None and self.postgres_dsn is None:
            raise Crash(
                f"FILLIP_{name_dsn(role).upper()} is missing: set it, or FILLIP_POSTGRES_DSN, from which it follows"
            )
        return own or role_dsn(self.owner_dsn, role)

    @property
    def owner_dsn(self) -> str:
        """The DSN of the schema's owner. Raises Crash without it."""
        if self.postgres_dsn is None:
            raise Crash("FILLIP_POSTGRES_DSN is missing: set it to the DSN of the schema's owner")
        return self.postgres_dsn

    @property
    def kafka_security(self) -> dict[str, Any]:
        """What librdkafka's clients need for TLS and SASL; empty for a plain broker."""
        tls = self.kafka_ca is not None
        protocol = f"{'SASL_' if self.kafka_sasl else ''}{'SSL' if tls else 'PLAINTEXT'}"
        wanted = {
            "security.protocol": None if protocol == "PLAINTEXT" else protocol,
            "ssl.ca.location": self.kafka_ca and str(self.kafka_ca),
            "ssl.endpoint.identification.algorithm": "https" if tls else None,
            "ssl.certificate.location": self.kafka_cert and str(self.kafka_cert),
            "ssl.key.location": self.kafka_key and str(self.kafka_key),
            "sasl.mechanisms": self.kafka_sasl,
            "sasl.username": self.kafka_user,
            "sasl.password": self.kafka_password,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def list_for(self, process: str) -> dict[str, str]:
        """The environment of one process: what it needs of these settings, and no other's credentials.

        The API has the owner's DSN where the operator's routes are open, since they alone use it.
        """
        wanted = self.model_copy(update={name_dsn(role): self.dsn(role) for role in _LOGINS[process]})
        names = {*_NEEDS[process], *map(name_dsn, _LOGINS[process])}
        if process == "api" and self.operator_key:
            names.add("postgres_dsn")
        values = wanted.model_dump(mode="json", exclude_none=True, include=names)
        return {
            f"FILLIP_{name.upper()}": json.dumps(value) if isinstance(value, list) else str(value)
            for name, value in values.items()
        }


class _Environment(Settings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FILLIP_")


def read_settings(**given: object) -> Settings:
    """Settings of this process; what is `given` and not None stands above the environment.

    Raises Crash naming the variable that is wrong or misspelt, never a secret.
    """
    _refuse_misspelt()
    try:
        return _Environment(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "FILLIP_" + "_".join(str(part) for part in first["loc"]).upper()
        message = first["msg"].removeprefix("Value error, ")
        raise Crash(f"{name}: {message}" if first["loc"] else message) from None


def _refuse_misspelt() -> None:
    """A misspelt setting must not pass for one that was not wanted: a connection would go without TLS."""
    known = {f"FILLIP_{name.upper()}" for name in Settings.model_fields} | _ELSEWHERE
    for name in os.environ:
        if not name.startswith("FILLIP_") or name in known or _OF_KUBERNETES.search(name):
            continue
        if near := get_close_matches(name, known, 1, LOOKS_LIKE):
            raise Crash(f"{name} is no setting: do you mean {near[0]}?")


def name_dsn(role: str) -> str:
    """The field of a role's DSN."""
    return f"{role.removeprefix('fillip_')}_dsn"


def _check_pairs(settings: Settings) -> None:
    """Refuse what is asked for by halves."""
    for server in ("postgres", "valkey", "kafka"):
        certificate, key = (getattr(settings, f"{server}_{part}") for part in ("cert", "key"))
        if (certificate is None) != (key is None):
            raise ValueError(f"FILLIP_{server.upper()}_CERT and FILLIP_{server.upper()}_KEY belong together: set both")
    if settings.clickhouse_ca and not (settings.clickhouse_url or "").startswith("https:"):
        raise ValueError("FILLIP_CLICKHOUSE_CA needs FILLIP_CLICKHOUSE_URL with https: write https://…")
    login = (settings.kafka_sasl, settings.kafka_user, settings.kafka_password)
    if any(login) and not all(login):
        raise ValueError(
            "FILLIP_KAFKA_SASL, FILLIP_KAFKA_USER and FILLIP_KAFKA_PASSWORD belong together: set all three"
        )
    if settings.kafka_cert and not settings.kafka_ca:
        raise ValueError("FILLIP_KAFKA_CERT needs FILLIP_KAFKA_CA: set the file of the authorities to trust")
    if settings.kafka_sasl == "PLAIN" and not settings.kafka_ca:
        raise ValueError(
            "FILLIP_KAFKA_SASL: PLAIN sends the password as it is: set FILLIP_KAFKA_CA, or use SCRAM-SHA-512"
        )
