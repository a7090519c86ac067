"""Which servers a command talks to: those of the environment, or those of an instance that runs here."""

import os
from dataclasses import dataclass
from pathlib import Path

from fillip.app.settings import Settings, read_settings
from fillip.core.errors import Crash
from fillip.embedded.addresses import describe

USUAL_STATE = Path(".fillip/state")


@dataclass(frozen=True)
class Found:
    """Settings, and in words where they come from."""

    settings: Settings
    source: str

    def describe(self, *, kafka: bool = False) -> str:
        """One line for people: the servers, and who named them; Kafka where it is talked to as well."""
        where = describe("PostgreSQL", self.settings.owner_dsn)
        return f"{where}{f', Kafka at {self.settings.kafka_bootstrap}' if kafka else ''} ({self.source})"


def find_settings(state: Path | None) -> Found:
    """The settings for a command of the operator; every one finds them so.

    A folder that is named with --state; else FILLIP_POSTGRES_DSN and what else the environment says; else the instance that
    runs in FILLIP_STATE_DIR, or in .fillip/state. Raises Crash where there is none.
    """
    if state is None and "FILLIP_POSTGRES_DSN" in os.environ:
        return Found(read_settings(), "from FILLIP_POSTGRES_DSN")
    folder = state or Path(os.environ.get("FILLIP_STATE_DIR") or USUAL_STATE)
    settings = read_running(folder)
    if settings is None:
        raise Crash(
            f"nothing runs in {folder}: start it with `fillip up`, name its folder with --state, "
            "or set FILLIP_POSTGRES_DSN and the other settings of servers that run elsewhere"
        )
    return Found(settings, f"the instance in {folder}")


def note_running(state_dir: Path, settings: Settings) -> None:
    """Leave the settings of a running instance for the commands beside it; readable by its owner alone."""
    made = _locate(state_dir).with_suffix(".new")
    made.unlink(missing_ok=True)
    made.touch(mode=0o600)
    made.write_text(settings.model_dump_json(), encoding="utf-8")
    made.replace(_locate(state_dir))


def read_running(state_dir: Path) -> Settings | None:
    """The settings of the instance that runs in a state folder; None when none does."""
    try:
        text = _locate(state_dir).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Settings.model_validate_json(text)


def forget_running(state_dir: Path) -> None:
    """The instance does not run any more."""
    _locate(state_dir).unlink(missing_ok=True)


def _locate(state_dir: Path) -> Path:
    return state_dir / "settings.json"
