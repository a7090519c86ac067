"""Settings: from the environment, checked, with TLS folded in; to each process its own and no more."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fillip.app.settings import PROCESSES, Settings, read_settings
from fillip.core.errors import Crash
from fillip.embedded.addresses import describe
from fillip.migrations import ROLES, derive_password, role_dsn

OWNER = "postgresql://fillip:owners-secret@db:5432/fillip"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    file.touch()
    return file


def set_all(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"FILLIP_{name.upper()}", str(value))


def test_an_authority_asks_for_tls_with_the_servers_name_checked(monkeypatch: pytest.MonkeyPatch, ca: Path) -> None:
    set_all(monkeypatch, postgres_dsn=OWNER, postgres_ca=ca, valkey_url="redis://:pw@cache:6379/0", valkey_ca=ca)
    set_all(monkeypatch, kafka_bootstrap="kafka:9093", kafka_ca=ca)
    settings = read_settings()
    for dsn in (settings.owner_dsn, *map(settings.dsn, ROLES)):
        assert dsn.endswith(f"@db:5432/fillip?sslmode=verify-full&sslrootcert={ca}"), dsn
    assert settings.valkey_url == f"rediss://:pw@cache:6379/0?ssl_ca_certs={ca}"
    assert settings.kafka_security == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(ca),
        "ssl.endpoint.identification.algorithm": "https",
    }
    again = Settings.model_validate_json(settings.model_dump_json())  # as the commands beside it read them
    assert again.model_dump() == settings.model_dump()


def test_what_an_address_says_itself_stays(ca: Path) -> None:
    settings = Settings(postgres_dsn=f"{OWNER}?sslmode=require&application_name=x", postgres_ca=ca)
    assert "sslmode=require" in settings.owner_dsn
    assert "application_name=x" in settings.owner_dsn
    assert "verify-full" not in settings.owner_dsn


def test_without_any_of_it_nothing_changes() -> None:
    settings = Settings(postgres_dsn=OWNER)
    assert (settings.owner_dsn, settings.valkey_url) == (OWNER, "redis://127.0.0.1:6379/0")
    assert settings.kafka_security == {}


def test_a_login_at_kafka(monkeypatch: pytest.MonkeyPatch, ca: Path) -> None:
    set_all(monkeypatch, kafka_sasl="SCRAM-SHA-512", kafka_user="fillip", kafka_password="pw")
    assert read_settings().kafka_security == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "fillip",
        "sasl.password": "pw",
    }
    set_all(monkeypatch, kafka_ca=ca)
    assert read_settings().kafka_security["security.protocol"] == "SASL_SSL"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"postgres_dsn": "mysql://me:hidden@db/x"}, "FILLIP_POSTGRES_DSN: not a URL of PostgreSQL"),
        ({"postgres_dsn": "postgresql://me:hid/den@db:5432/x"}, "%2F"),
        ({"postgres_dsn": "postgresql://me:hidden@db:port/x"}, "FILLIP_POSTGRES_DSN"),
        ({"worker_dsn": "postgresql://me:hidden@db:99999/x"}, "FILLIP_WORKER_DSN"),
        ({"postgres_dsn": "postgresql://me:hidden@[db/x"}, "FILLIP_POSTGRES_DSN"),
        ({"valkey_url": "http://:hidden@cache/0"}, "FILLIP_VALKEY_URL: not a URL of Valkey"),
        ({"clickhouse_url": "clickhouse://me:hidden@house/facts"}, "FILLIP_CLICKHOUSE_URL: not a URL of ClickHouse"),
        (
            {"clickhouse_url": "https://me:hidden@house:8443/facts?verify=0"},
            "FILLIP_CLICKHOUSE_URL: not a URL of ClickHouse",
        ),
        ({"clickhouse_url": "http://me:hidden@house", "clickhouse_ca": __file__}, "FILLIP_CLICKHOUSE_CA needs"),
        ({"kafka_bootstrap": "kafka:9092,other:x"}, "FILLIP_KAFKA_BOOTSTRAP: 'other:x' is not an address"),
        ({"kafka_bootstrap": "kafka:0"}, "FILLIP_KAFKA_BOOTSTRAP"),
        ({"api_port": 99_999}, "FILLIP_API_PORT"),
        ({"metrics_port": "hidden"}, "FILLIP_METRICS_PORT"),
        ({"postgres_ca": "/no/such/hidden-file"}, "FILLIP_POSTGRES_CA: Path does not point to a file"),
        ({"kafka_sasl": "GSSAPI", "kafka_user": "me", "kafka_password": "hidden"}, "FILLIP_KAFKA_SASL"),
        ({"kafka_sasl": "SCRAM-SHA-512", "kafka_password": "hidden"}, "FILLIP_KAFKA_USER"),
        ({"kafka_sasl": "PLAIN", "kafka_user": "me", "kafka_password": "hidden"}, "set FILLIP_KAFKA_CA"),
        ({"kafka_pasword": "hidden"}, "FILLIP_KAFKA_PASWORD is no setting: do you mean FILLIP_KAFKA_PASSWORD?"),
        ({"postgres_cert": __file__}, "FILLIP_POSTGRES_KEY belong together"),
        ({"kafka_cert": __file__, "kafka_key": __file__}, "needs FILLIP_KAFKA_CA"),
    ],
)
def test_what_is_wrong_is_named_in_one_line_without_its_value(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], said: str
) -> None:
    set_all(monkeypatch, **values)
    with pytest.raises(Crash) as refusal:
        read_settings()
    assert said in str(refusal.value)
    assert "hid" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_what_kubernetes_and_the_tests_set_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, api_service_host="10.0.0.1", api_port_80_tcp_addr="10.0.0.1", fuzz_seed="1", cache="/tmp")
    read_settings()


def test_several_hosts_and_sockets_are_addresses() -> None:
    for dsn in ("postgresql://u:p@a:5432,b:5433/x", "postgresql:///x?host=/run/postgresql", "postgres://u:p@[::1]:5/x"):
        assert Settings(postgres_dsn=dsn).owner_dsn == dsn
    assert Settings(kafka_bootstrap="a:9092, b:9092,c").kafka_bootstrap


def test_no_secret_shows() -> None:
    settings = Settings(postgres_dsn=OWNER, worker_dsn=OWNER, operator_key="owners-secret")
    assert "secret" not in repr(settings)
    with pytest.raises(ValidationError) as error:
        Settings(postgres_dsn=OWNER, operator_key="owners-secret", api_port="owners-secret")
    assert "secret" not in str(error.value)
    assert describe("PostgreSQL", OWNER) == "PostgreSQL at db:5432/fillip"


def test_a_role_has_a_password_of_its_own_that_tells_nothing_of_the_owners() -> None:
    passwords = {role: role_dsn(OWNER, role).partition("@")[0].partition("://")[2] for role in ROLES}
    assert len({login.partition(":")[2] for login in passwords.values()}) == len(ROLES)
    assert all(login.startswith(f"{role}:") for role, login in passwords.items())
    assert "owners-secret" not in str(passwords)
    assert derive_password("owners-secret", "fillip_worker") != derive_password("owners-secrets", "fillip_worker")
    assert role_dsn("postgresql://fillip@db/fillip", "fillip_worker") == "postgresql://fillip_worker@db/fillip"


def test_each_process_gets_its_own_and_no_more() -> None:
    dsns = {role: f"postgresql://{role}:pw-of-{role}@db/x" for role in ROLES}
    settings = Settings(
        postgres_dsn=OWNER,
        operator_key="key-of-operator",
        analyse_key="key-of-analyse-by-itself",
        valkey_url="redis://:pw-of-valkey@cache/0",
        kafka_sasl="SCRAM-SHA-512",
        kafka_user="u",
        kafka_password="pw-of-kafka",
        allowed_origins=("https://shop.example",),
        **{f"{role.removeprefix('fillip_')}_dsn": dsn for role, dsn in dsns.items()},
    )
    secrets = (
        "owners-secret",
        "key-of-operator",
        "key-of-analyse",
        "pw-of-valkey",
        "pw-of-kafka",
        *(f"pw-of-{role}" for role in ROLES),
    )
    held = {
        process: {secret for secret in secrets if any(secret in value for value in settings.list_for(process).values())}
        for process in PROCESSES
    }
    assert held == {
        "api": {
            "owners-secret",
            "key-of-operator",
            "key-of-analyse",
            "pw-of-valkey",
            "pw-of-kafka",
            "pw-of-fillip_api",
            "pw-of-fillip_worker",
        },
        "worker": {"pw-of-valkey", "pw-of-kafka", "pw-of-fillip_worker"},
        "publish": {"pw-of-valkey", "pw-of-kafka", "pw-of-fillip_publish"},
        "sweep": {"key-of-analyse", "pw-of-kafka", "pw-of-fillip_sweep", "pw-of-fillip_worker", "pw-of-fillip_api"},
        "gateway": {"pw-of-kafka", "pw-of-fillip_gateway"},
        "analyse": {"key-of-analyse", "pw-of-valkey", "pw-of-kafka", "pw-of-fillip_analyse"},
        "cohort": {"pw-of-kafka", "pw-of-fillip_cohort", "pw-of-fillip_worker", "pw-of-fillip_api"},
    }
    assert "FILLIP_POSTGRES_DSN" not in settings.model_copy(update={"operator_key": None}).list_for("api")
    assert settings.list_for("gateway")["FILLIP_ALLOWED_ORIGINS"] == '["https://shop.example"]'


def test_a_process_lacks_what_is_neither_set_nor_follows() -> None:
    settings = Settings(gateway_dsn="postgresql://fillip_gateway:pw@db/x")
    assert settings.dsn("fillip_gateway") == "postgresql://fillip_gateway:pw@db/x"
    with pytest.raises(Crash, match=r"FILLIP_WORKER_DSN is missing: set it, or FILLIP_POSTGRES_DSN"):
        settings.dsn("fillip_worker")
