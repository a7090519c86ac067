"""All of Fillip on servers that take nobody without TLS and a login, and what each of its processes is trusted with."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from fillip.app.doctor import doctor
from fillip.app.operate import create_key
from fillip.app.positions import look
from fillip.app.running import find_settings
from fillip.app.settings import PROCESSES
from fillip.app.up import Stack, find_external
from fillip.client.api import ApiClient
from fillip.client.book import define_actions, launch_campaigns
from fillip.embedded import kafka, postgres, valkey
from fillip.embedded.errors import ServerFailed
from fillip.migrations import ROLES
from tests.app.secure_servers import PASSWORD, Secure, secure_servers
from tests.live.conftest import CASHBACK, SCHEMA, Shop
from tests.live.running import choose_ports, make_tenant, wait_for

pytestmark = pytest.mark.xdist_group("live")
WITHIN_S = 60


@pytest.fixture(scope="module")
def secure() -> Iterator[Secure]:
    with tempfile.TemporaryDirectory(prefix="fillip-tls-") as folder, secure_servers(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def stack(secure: Secure) -> Iterator[Stack]:
    with Stack(secure.folder / "fillip", lambda step, detail: None, choose_ports(), secure.settings()) as running:
        yield running


@pytest.fixture(scope="module")
def secure_shop(stack: Stack) -> Iterator[Shop]:
    key = make_tenant(stack, "acme")
    with ApiClient(stack.doors.api, key) as client:
        define_actions(client, {"BUY": SCHEMA})
        launch_campaigns(client, {"cashback": CASHBACK}, [])
        yield Shop("acme", key, client)


async def test_an_event_is_decided_announced_and_reported_over_tls_alone(
    stack: Stack, secure_shop: Shop, secure: Secure
) -> None:
    secure_shop.client.post("/v1/events", secure_shop.buy("e1"))

    async def is_reported() -> bool:
        with ApiClient(stack.doors.analyse, secure_shop.key) as reports:
            page = reports.get("/v1/reports/campaign-days")
        return [line["issued"] for line in page["items"]] == [1]

    await wait_for("the grant is in the reports", is_reported, WITHIN_S)
    with redis.Redis.from_url(stack.settings.valkey_url) as client:

        async def is_kept() -> bool:
            secure_shop.client.get(
                "/v1/campaigns"
            )  # whose rate is counted there, unless Valkey was slow to connect just now
            return bool(client.keys("*acme*"))

        await wait_for("Valkey knows the tenant", is_kept, WITHIN_S)
    with psycopg.connect(stack.settings.owner_dsn) as owner:
        roles = {role for (role,) in owner.execute("SELECT usename FROM pg_stat_activity WHERE usename LIKE 'fillip%'")}
    assert roles >= {*ROLES}, roles


def test_each_process_holds_its_own_credentials_and_no_others(stack: Stack, secure: Secure) -> None:
    settings = stack.settings
    secrets = {"owner": urlsplit(settings.owner_dsn).password, "operator": settings.operator_key}
    secrets |= {"kafka": PASSWORD, "analyse key": settings.analyse_key}
    secrets |= {role: urlsplit(settings.dsn(role)).password for role in ROLES} | {"valkey": secure.valkey_password}
    held = {
        name: {
            whose
            for whose, secret in secrets.items()
            if str(secret).encode() in Path(f"/proc/{stack.pids()[name]}/environ").read_bytes()
        }
        for name in PROCESSES
    }
    assert held == {
        "api": {"owner", "operator", "kafka", "valkey", "fillip_api", "fillip_worker", "analyse key"},
        "worker": {"kafka", "valkey", "fillip_worker"},
        "publish": {"kafka", "valkey", "fillip_publish"},
        "sweep": {"kafka", "fillip_sweep", "fillip_worker", "fillip_api", "analyse key"},
        "gateway": {"kafka", "fillip_gateway"},
        "analyse": {"kafka", "valkey", "fillip_analyse", "analyse key"},
        "cohort": {"kafka", "fillip_cohort", "fillip_worker", "fillip_api"},
    }
    written = [*(stack.state_dir / "log").iterdir(), *secure.folder.glob("*/log/*")]
    said = "".join(file.read_text(errors="replace") for file in written)
    assert [whose for whose, secret in secrets.items() if str(secret) in said] == []


def test_the_operators_commands_get_there_too(stack: Stack, secure_shop: Shop) -> None:
    found = find_settings(stack.state_dir).settings
    assert str(create_key(found.owner_dsn, "acme", "more").key).startswith("fk_live_")
    assert look(found)
    external = find_external(found)
    assert [check for check in doctor(stack.state_dir, {}, external) if not check.ok] == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"authority": "other"}, "certificate verify failed"),
        ({"host": "127.0.0.1"}, "(?i)certificate|does not match"),
        (
            {"kafka_password": "hidden", "postgres_dsn": "postgresql://fillip:hidden@localhost:{port}/fillip"},
            "(?i)authentication|invalid username",
        ),
    ],
)
@pytest.mark.parametrize("server", ["postgres", "valkey", "kafka"])
def test_what_does_not_fit_is_one_line_without_a_secret(
    secure: Secure, server: str, wrong: dict[str, str], said: str
) -> None:
    port = secure.port_of["postgres"]
    settings = secure.settings(**{name: value.format(port=port) for name, value in wrong.items()})
    if server == "valkey" and "kafka_password" in wrong:
        settings.valkey_url = settings.valkey_url.replace(secure.valkey_password, "hidden")
    with pytest.raises(ServerFailed) as refusal:
        if server == "postgres":
            postgres.check_external(settings.owner_dsn)
        elif server == "valkey":
            valkey.check_external(settings.valkey_url)
        else:
            kafka.check_external(settings.kafka_bootstrap, settings.kafka_security)
    assert refusal.match(said)
    for secret in ("hidden", PASSWORD, secure.valkey_password, str(urlsplit(secure.plain_postgres_dsn).password)):
        assert secret not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_nobody_comes_in_without_tls(secure: Secure) -> None:
    plain: dict[str, Any] = {
        f"{server}_{part}": None for server in ("postgres", "valkey", "kafka") for part in ("ca", "cert", "key")
    }
    settings = secure.settings(**plain)
    with pytest.raises(ServerFailed):
        postgres.check_external(settings.owner_dsn)
    with pytest.raises(ServerFailed):
        valkey.check_external(settings.valkey_url)
    with pytest.raises(ServerFailed):
        kafka.check_external(settings.kafka_bootstrap, settings.kafka_security)
