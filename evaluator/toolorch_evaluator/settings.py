"""What a step is told by its environment and its mounted files: read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from toolorch_api.shard import (
    ENV_ATTEMPT,
    ENV_INPUT_DIR,
    ENV_POD,
    ENV_SHARD,
    ENV_TERMINATION_LOG,
    INPUT_DIR,
    TERMINATION_LOG,
    RunInput,
)
from toolorch_evaluator.exits import BadInputError


@dataclass(frozen=True, slots=True)
class Settings:
    """A step's place in its run."""

    input_dir: Path
    attempt: int
    shard: int
    pod: str
    termination_log: Path


def read_settings(env: Mapping[str, str]) -> Settings:
    """Read the settings from an environment; raises BadInputError where a number is none."""
    try:
        attempt, shard = int(env.get(ENV_ATTEMPT, "1")), int(env.get(ENV_SHARD, "0"))
    except ValueError as error:
        sentence = f"{ENV_ATTEMPT} and {ENV_SHARD} must be whole numbers: {error}"
        raise BadInputError("BadEnvironment", sentence) from error
    return Settings(
        input_dir=Path(env.get(ENV_INPUT_DIR, INPUT_DIR)),
        attempt=attempt,
        shard=shard,
        pod=env.get(ENV_POD, ""),
        termination_log=termination_log(env),
    )


def termination_log(env: Mapping[str, str]) -> Path:
    """Where the last word of this process goes."""
    return Path(env.get(ENV_TERMINATION_LOG, TERMINATION_LOG))


def read_run(input_dir: Path) -> RunInput:
    """Read the run's input; raises BadInputError with what is wrong in it."""
    path = input_dir / "run.json"
    try:
        return RunInput.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInputError("NoInput", f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError("BadInput", f"{path}: {where}: {first['msg']}") from error
