"""Every setting of the server, once: the command line, the environment and a YAML file give them the same names.

``--max-texts 8``, ``TOKENWARD_MAX_TEXTS=8`` and ``max_texts: 8`` in the file that ``--config`` names are the same; the
command line goes before the environment, and the environment before the file.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    CliPositionalArg,
    CliSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from ..errors import InputError
from ..files import check_writable
from .audit import AuditLog
from .batching_options import BatchingOptions
from .cache import StaleCacheError
from .confirmation import Fallback
from .engines import EngineName
from .guard import Guard, GuardOptions, load
from .verdict import Mode

_log = logging.getLogger("tokenward")

PREFIX = "TOKENWARD_"
_SAID = {"true": "--{}", "false": "--no-{}"}  # what a switch is told on the command line
# What Kubernetes tells the containers beside a service that is named tokenward.
_LINKS = re.compile(PREFIX + r"(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_\w+)")


class ServeSettings(BaseSettings):
    """What ``tokenward serve`` can be told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, allow_inf_nan=False)

    # Required, but argparse must not insist: the environment or the file may give it.
    artifact: CliPositionalArg[Path] = Field(Path(), validate_default=True, description="Calibrated artifact folder.")
    config: Path | None = Field(None, description="YAML file with settings.")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Server processes, each with a model of its own.")
    model_name: str = Field("tokenward", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="Name under /v2.")
    log_level: Literal["critical", "error", "warning", "info", "debug"] = Field("info", description="Least to log.")

    mode: Mode = Field("enforce", description="What requests get that do not say a mode.")
    lock_mode: bool = Field(False, description="Refuse requests that ask for another mode.")
    gates: str = Field("", description="Gates that raise suspicion, comma between them; empty: the preset's.")
    suspects: int = Field(GuardOptions.suspects, ge=1, le=16, description="Words tried per text and round.")
    fallback: Fallback = Field(GuardOptions.fallback, description="When the budget for second looks is spent.")
    budget_share: float = Field(GuardOptions.budget_share, ge=0, description="Second-look tokens per token served.")
    budget_burst: int = Field(GuardOptions.budget_burst, ge=0, description="Most second-look tokens saved up.")
    screening: bool = Field(GuardOptions.screening, description="Try words of texts the model is sure of, too.")
    cache_capacity: int = Field(GuardOptions.cache_capacity, ge=0, description="Outcomes of transplants remembered.")
    cache_file: Path | None = Field(None, description="Keep those outcomes in this file between runs.")

    engine: EngineName = Field("auto", description="What runs the model; those on cuda need an NVIDIA GPU.")
    checkpoint: Path | None = Field(None, description="For torch-cuda: the checkpoint that was exported.")
    parallel: int = Field(BatchingOptions.parallel, ge=1, le=64, description="Micro-batches that run at a time.")
    threads: int = Field(0, ge=0, le=1024, description="Threads of each; 0: the cores divided among them.")
    token_budget: int = Field(GuardOptions.token_budget, ge=1, description="Most padded tokens in a micro-batch.")
    max_wait_ms: float = Field(
        BatchingOptions.max_wait * 1000, ge=0, le=1000, description="Most a text waits for batch mates while idle."
    )
    queue_texts: int = Field(BatchingOptions.queue_texts, ge=1, description="Texts that may wait; beyond: 429.")
    deadline_seconds: float = Field(BatchingOptions.deadline, ge=0.001, le=3600, description="No answer by then: 504.")
    max_requests: int = Field(512, ge=1, description="Requests at the same time; beyond: 429.")
    max_texts: int = Field(64, ge=1, description="Texts in a request; beyond: 413.")
    max_characters: int = Field(20_000, ge=1, description="Characters in a text; beyond: 413.")
    max_body_bytes: int = Field(2_000_000, ge=1, description="Bytes in a request; beyond: 413.")
    grace_seconds: float = Field(
        30.0, ge=0, le=3600, description="Most that shutting down waits for accepted requests."
    )
    header_seconds: float = Field(20.0, gt=0, le=3600, description="A request's header must arrive in this time.")
    read_seconds: float = Field(30.0, gt=0, le=3600, description="A client must read its answer in this time.")
    probe_seconds: float = Field(2.0, gt=0, le=3600, description="The engine must answer in this time to be ready.")

    token: SecretStr | None = Field(None, min_length=16, description="Bearer token that callers must give.")
    audit_log: Path | None = Field(None, description="Write suspicious requests, texts included, to this file.")
    audit_hash: bool = Field(False, description="Hash the texts in the audit log.")
    audit_max_bytes: int = Field(50_000_000, ge=1_000, description="Size at which the audit log is rotated.")
    audit_files: int = Field(5, ge=1, le=1000, description="Rotated audit logs that are kept.")

    @field_validator("artifact")
    @classmethod
    def _an_artifact_is_named(cls, path: Path) -> Path:
        if path == Path():
            raise ValueError("give the folder on the command line, as TOKENWARD_ARTIFACT or in the file")
        return path

    @field_validator("config", "cache_file", "checkpoint", "audit_log", mode="before")
    @classmethod
    def _empty_is_not_given(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("host", mode="before")
    @classmethod
    def _no_host_is_the_default(cls, host: Any) -> Any:
        return cls.model_fields["host"].default if host == "" else host  # empty would be every address of the machine

    @field_validator("token", mode="before")
    @classmethod
    def _an_empty_token_protects_nothing(cls, token: Any) -> Any:
        if token == "":
            raise ValueError("it is empty: give at least 16 characters, or leave the setting out to ask for none")
        return token

    @field_validator("token")
    @classmethod
    def _a_header_can_carry_it(cls, token: SecretStr | None) -> SecretStr | None:
        secret = token.get_secret_value() if token else ""
        if not (secret.isascii() and all(character.isprintable() and character != " " for character in secret)):
            raise ValueError("only printable ASCII characters and no spaces, or no header can carry it")
        return token

    @field_validator("mode", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, mode: Any) -> Any:
        return "off" if mode is False else mode

    @model_validator(mode="after")
    def _a_request_fits_the_queue(self) -> ServeSettings:
        if self.max_texts > self.queue_texts:
            raise ValueError(f"max_texts ({self.max_texts}) is more than queue_texts ({self.queue_texts}) has room for")
        return self

    def guard_options(self) -> GuardOptions:
        """How to judge."""
        return GuardOptions(
            gates=tuple(name.strip() for name in self.gates.split(",") if name.strip()),
            suspects=self.suspects,
            fallback=self.fallback,
            budget_share=self.budget_share,
            budget_burst=self.budget_burst,
            cache_capacity=self.cache_capacity,
            screening=self.screening,
            threads=self.threads or self.batching_options().threads(),
            token_budget=self.token_budget,
        )

    def load_guard(self) -> Guard:
        """Load the artifact as the settings say, with the outcomes that were kept of it.

        Those kept before it was calibrated anew are worth nothing now, and no reason not to start.

        Raises:
            InputError: the file of outcomes cannot be used; and what :func:`tokenward.load` raises.
        """
        guard = load(self.artifact, self.engine, self.guard_options(), self.checkpoint)
        if self.cache_file and self.cache_file.exists():
            try:
                guard.cache.load(self.cache_file)
            except StaleCacheError:
                _log.warning("'%s' is of another artifact or calibration: starting without it", self.cache_file)
        return guard

    def audit(self) -> AuditLog | None:
        """The audit log, if there is to be one."""
        if not self.audit_log:
            return None
        return AuditLog(self.audit_log, self.audit_hash, self.audit_max_bytes, self.audit_files)

    def check_files(self) -> None:
        """Find out before the first request whether what the server writes can be written.

        Raises:
            InputError: a file cannot.
        """
        if audit := self.audit():
            audit.check()
        if self.cache_file:
            check_writable(self.cache_file)

    def batching_options(self) -> BatchingOptions:
        """How callers share the engine."""
        return BatchingOptions(self.max_wait_ms / 1000, self.queue_texts, self.deadline_seconds, self.parallel)

    def environment(self) -> dict[str, str]:
        """All settings as environment variables, for a process that reads no file."""
        given = self.model_dump(mode="json", exclude_none=True, exclude={"config"})
        if self.token:
            given["token"] = self.token.get_secret_value()
        return {f"{PREFIX}{name.upper()}": v if isinstance(v, str) else json.dumps(v) for name, v in given.items()}


def load_settings(arguments: Sequence[str] = ()) -> ServeSettings:
    """Read the command line, the environment and the YAML file that one of them names.

    Raises:
        InputError: naming the first setting that cannot be used, or the file that cannot be read.
    """
    try:
        _check_environment()
        given = {**EnvSettingsSource(ServeSettings)(), **_command_line(arguments)}
        if given.get("config"):
            given = {**_file(Path(given["config"])), **given}
        return ServeSettings(**given)
    except ValidationError as error:
        raise InputError(_explain(error)) from error
    except SettingsError as error:
        raise InputError(str(error)) from error


def _check_environment() -> None:
    """A misspelt name would leave a setting, the token for one, at its default."""
    known = [PREFIX + name.upper() for name in ServeSettings.model_fields]
    for name in map(str.upper, os.environ):
        if name.startswith(PREFIX) and name not in known and not _LINKS.fullmatch(name):
            close = get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]}?" if close else "see 'tokenward serve --help'"
            raise InputError(f"{name:.60} in the environment is no setting: {meant}")


def _flags(arguments: Sequence[str]) -> list[str]:
    """Let switches be given as all settings are, by name and value: ``--screening false`` is ``--no-screening``."""
    names = [name for name, field in ServeSettings.model_fields.items() if field.annotation is bool]
    switches = {f"--{name.replace('_', '-')}" for name in names}
    flags: list[str] = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name in switches and value.lower() in _SAID:
            flags.append(_SAID[value.lower()].format(name.removeprefix("--")))
        elif flags and flags[-1] in switches and argument.lower() in _SAID:
            flags[-1] = _SAID[argument.lower()].format(flags[-1].removeprefix("--"))
        else:
            flags.append(argument)
    return flags


def _command_line(arguments: Sequence[str]) -> dict[str, Any]:
    source = CliSettingsSource[Any](
        ServeSettings,
        cli_prog_name="tokenward serve",
        cli_parse_args=_flags(arguments),
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_exit_on_error=False,
    )
    return {name: value for name, value in source().items() if value is not None}


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for place, (key, _) in enumerate(node.value):
            if key.value in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r:.60} stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _file(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _OnceLoader)  # noqa: S506  # it is a safe one
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, LookupError) as error:  # the others: values that a tag or a date cannot have
        raise InputError(f"'{path}' is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise InputError(f"'{path}' is nested too deeply: expected lines such as 'port: 8000'") from error
    if isinstance(content, dict):
        for name in content:
            if name == "config":
                raise InputError("setting 'config' stands in a file: one file cannot name another")
            if name not in ServeSettings.model_fields:
                raise InputError(f"setting {name!r:.60} is unknown: see 'tokenward serve --help'")
        if content.get("token", "given") is None:  # YAML's empty; elsewhere None is not given
            content["token"] = ""
    else:
        raise InputError(f"'{path}' has no settings: expected lines such as 'port: 8000'")
    return content


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"setting {name!r:.60} is unknown: see 'tokenward serve --help'"
    told = "" if name in ("token", "artifact") else f", got {first['input']!r:.60}"
    return f"setting {name}: {message}{told}"
