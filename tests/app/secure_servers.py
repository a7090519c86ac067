"""Real servers that take nobody without TLS and a login: certificates of an authority of our own, made for one run.

Kafka speaks TLS itself. The PostgreSQL and the Valkey of the wheels are built without it, so before each stands a listener
of ours that ends TLS, and takes nobody without, as a proxy would in a cluster. All three ask for a client's certificate.
The certificates are for `localhost`, so 127.0.0.1 is a name that does not fit.
"""

import asyncio
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported all the same
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from fillip.app.settings import Settings
from fillip.embedded import jars, kafka
from fillip.embedded.addresses import External
from fillip.embedded.ports import choose_free_port
from fillip.embedded.process import Child
from fillip.embedded.servers import Servers
from fillip.embedded.state import StateFolder

USER, PASSWORD = "fillip", "kafka-password"
SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # what a client of PostgreSQL says first
KAFKA_LISTENERS = """\
listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://localhost:{secure}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.client.auth=required
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={folder}/server-chain.pem
listener.name.secure.ssl.truststore.type=PEM
listener.name.secure.ssl.truststore.location={folder}/ca.pem
"""


@dataclass(frozen=True)
class Secure:
    """Where the servers are, as an operator would write it down."""

    folder: Path
    plain_postgres_dsn: str
    port_of: dict[str, int]

    def settings(self, host: str = "localhost", authority: str = "ca", **changes: Any) -> Settings:
        """The settings that lead there; another `host` or `authority` must not."""
        dsn = urlsplit(self.plain_postgres_dsn)
        login = dsn.netloc.rpartition("@")[0]
        own = {
            f"{server}_{part}": self.folder
            / f"{authority if part == 'ca' else 'client'}.{'key' if part == 'key' else 'pem'}"
            for server in ("postgres", "valkey", "kafka")
            for part in ("ca", "cert", "key")
        }
        return Settings.model_validate(
            {
                "postgres_dsn": dsn._replace(netloc=f"{login}@{host}:{self.port_of['postgres']}").geturl(),
                "valkey_url": f"redis://:{self.valkey_password}@{host}:{self.port_of['valkey']}/0",
                "kafka_bootstrap": f"{host}:{self.port_of['kafka']}",
                "kafka_sasl": "SCRAM-SHA-512",
                "kafka_user": USER,
                "kafka_password": PASSWORD,
                **own,
                **changes,
            }
        )

    @property
    def valkey_password(self) -> str:
        return (self.folder / "state" / "valkey.password").read_text()


@contextmanager
def secure_servers(folder: Path) -> Iterator[Secure]:
    """Start them; they go with the block."""
    make_certificates(folder)
    with ExitStack() as stack:
        no_kafka = External(kafka_bootstrap=stack.enter_context(secure_kafka(folder)))
        addresses = stack.enter_context(Servers(folder / "state", no_kafka))
        ports = {
            "postgres": stack.enter_context(end_tls(folder, urlsplit(addresses.postgres_dsn).port or 0, SSL_REQUEST)),
            "valkey": stack.enter_context(end_tls(folder, urlsplit(addresses.valkey_url).port or 0)),
            "kafka": int((folder / "kafka-port").read_text()),
        }
        yield Secure(folder, addresses.postgres_dsn, ports)


class SecureKafka(kafka.Kafka):
    """The embedded broker with one more listener, that asks for TLS, a client's certificate and a login."""

    secure_port: int
    certificates: Path

    def _write_configuration(self, data: Path) -> None:
        super()._write_configuration(data)
        more = KAFKA_LISTENERS.format(
            port=self._port, secure=self.secure_port, controller=self._controller_port, folder=self.certificates
        )
        names = {line.partition("=")[0] for line in more.splitlines()}
        kept = [line for line in self._file.read_text().splitlines() if line.partition("=")[0] not in names]
        self._file.write_text("\n".join([*kept, more]))


@contextmanager
def secure_kafka(folder: Path) -> Iterator[str]:
    """A broker with the user of ours; the address of its plain listener."""
    state = StateFolder(folder / "broker")
    (state.path / "log").mkdir(parents=True)
    broker = SecureKafka(state, choose_free_port(), choose_free_port(), jars.build_java(lambda step, detail: None))
    broker.secure_port, broker.certificates = choose_free_port(), folder
    broker.prepare()
    child = Child(broker, broker.build_command(), state.path / "log" / "kafka.log")
    try:
        child.wait_ready()
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        user = UserScramCredentialUpsertion(USER, scram, PASSWORD.encode())
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.alter_user_scram_credentials([user])[USER].result(20)
        (folder / "kafka-port").write_text(str(broker.secure_port))
        yield broker.address
    finally:
        child.stop()


@contextmanager
def end_tls(folder: Path, port: int, request: bytes = b"") -> Iterator[int]:
    """A listener that takes TLS with a client's certificate and passes on what it carries to `port`; its own port.

    `request` is what asks for TLS, if not its own first byte; answered with S.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    running, listening, own = asyncio.Runner(), threading.Event(), choose_free_port()
    stopping = asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.read(len(request)) != request:
                return
            writer.write(b"S" if request else b"")
            await writer.start_tls(context)
            onward, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, back), pump(onward, writer))
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def listen() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", own):
            listening.set()
            await stopping.wait()

    def run() -> None:
        with running:
            running.run(listen())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert listening.wait(10)
    try:
        yield own
    finally:
        running.get_loop().call_soon_threadsafe(stopping.set)
        thread.join()


def make_certificates(folder: Path) -> None:
    """ca.pem; server.pem for localhost and client.pem, both of it, with their keys; other.pem, an authority that nobody has."""
    for authority in ("ca", "other"):
        run_openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{authority}.key",
            "-out", f"{authority}.pem", "-subj", f"/CN={authority}", "-days", "2",
        )  # fmt: skip
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    for name in ("server", "client"):
        run_openssl(
            folder,
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
        )
        run_openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-extfile", "names", "-out", f"{name}.pem", "-days", "2",
        )  # fmt: skip
        (folder / f"{name}.key").chmod(0o600)
    (folder / "server-chain.pem").write_text((folder / "server.key").read_text() + (folder / "server.pem").read_text())


def run_openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
