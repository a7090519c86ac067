"""Settings of every process, from the environment (FILLIP_*)."""

from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fillip.core.errors import Crash
from fillip.migrations import role_dsn


class Settings(BaseSettings):
    """Where the servers are and where our own doors open. Secrets come from here only."""

    model_config = SettingsConfigDict(env_prefix="FILLIP_", extra="ignore")

    postgres_dsn: str = Field(description="PostgreSQL as the owner of the schema, or as a role that may log in")
    role_password: str | None = Field(
        default=None, description="password of the fillip_* roles; default: that of the DSN"
    )
    valkey_url: str = "redis://127.0.0.1:6379/0"
    kafka_bootstrap: str = "127.0.0.1:9092"
    topic_prefix: str = Field(default="", description="put before every topic's name")
    partitions: int = Field(default=8, ge=1, le=1000, description="partitions of the topics that are keyed by user")
    operator_key: str | None = Field(default=None, description="the operator's key for /v1/tenants; none: refused")
    state_dir: Path = Path(".fillip/state")
    host: str = "127.0.0.1"
    api_port: int = 8080
    gateway_port: int = 8081
    gateway_url: str | None = Field(
        default=None, description="where clients open their stream; default: the gateway itself"
    )
    analyse_port: int = 8082
    metrics_port: int | None = Field(default=None, description="Prometheus metrics of this process; none: not served")
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="exact origins of web pages that may open a stream"
    )

    def dsn(self, role: str) -> str:
        """The DSN for one of Fillip's roles."""
        return role_dsn(self.postgres_dsn, role, self.role_password)


def read_settings() -> Settings:
    """Settings of this process. Raises Crash naming the variable that is missing or wrong."""
    try:
        return Settings()  # type: ignore[call-arg]  # the fields come from the environment
    except ValidationError as error:
        first = error.errors()[0]
        name = "FILLIP_" + "_".join(str(part) for part in first["loc"]).upper()
        raise Crash(f"{name}: {first['msg']}; set it in the environment (`fillip up` sets all of them)") from None
