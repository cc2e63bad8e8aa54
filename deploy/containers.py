"""Files to run a model repository in containers: Docker, compose with Prometheus and Grafana, Kubernetes, KServe."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import InputError, require
from .dashboard import dashboard
from .permissions import let_all_read

TEMPLATES = Path(__file__).parent / "templates"

# What the container's Python 3.10 can install.
NUMPY = "1.26.4"
ONNXRUNTIME = "1.23.2"

# Registry (with port), path, tag and digest, as Docker reads them.
_HOST = r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
_PART = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"({_HOST}(\.{_HOST})*(:[0-9]+)?/)?{_PART}(/{_PART})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(@sha256:[0-9a-f]{{64}})?"
)
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,50}[a-z0-9])?")


@dataclass(frozen=True)
class ContainerSettings:
    """Choices for the containers.

    Attributes:
        image: name and tag of the image.
        name: of the Kubernetes objects.
        gpus: for each server.
        replicas, max_replicas: fewest and most servers.
        queue_target_us: servers are added when requests queue for longer than this, in microseconds.
    """

    image: str
    name: str = "tokenward"
    gpus: int = 0
    replicas: int = 2
    max_replicas: int = 8
    queue_target_us: int = 20_000

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: naming the first field that cannot be used.
        """
        if len(self.image) > 255 or not _IMAGE.fullmatch(self.image):
            raise InputError(f"image {self.image!r:.80}: expected a name like registry.example/team/guard:1.0")
        if not _NAME.fullmatch(self.name):
            raise InputError(f"name {self.name!r:.80}: Kubernetes takes lower-case letters, digits and '-', 52 at most")
        if not 1 <= self.replicas <= self.max_replicas:
            raise InputError(
                f"replicas {self.replicas} to {self.max_replicas}: expected at least 1, and not fewer at most"
            )
        if self.gpus < 0 or self.queue_target_us < 1:
            raise InputError("--gpu must not be negative, and --queue-target-us must be above 0")


def write_containers(repository: str | Path, out_dir: str | Path, settings: ContainerSettings) -> list[Path]:
    """Write everything that is needed to run ``repository`` in containers into the new folder ``out_dir``.

    Returns:
        The files written.

    Raises:
        InputError: there is no guarded model in the repository, or the folder exists or cannot be written.
    """
    target = Path(out_dir).resolve()
    if target.exists():
        raise InputError(f"'{out_dir}' exists already: choose another folder or remove it first")
    values = asdict(settings) | _about(Path(repository))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"cannot write beside '{out_dir}': {error.strerror}") from error
    try:
        _render(part, values)
        shutil.copyfile(Path(__file__).with_name("probe.py"), part / "probe.py")
        text = json.dumps(dashboard(), indent=2, ensure_ascii=False)
        (part / "monitoring" / "dashboard.json").write_text(text + "\n", encoding="utf-8")
        let_all_read(part)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _about(repository: Path) -> dict[str, Any]:
    """What the templates say about the repository: its guarded models, and what they import."""
    configs = {path.parent.name: _config(path) for path in sorted(repository.glob("*/config.pbtxt"))}
    guarded = {name: config for name, config in configs.items() if [entry.name for entry in config.input] == ["TEXT"]}
    if not guarded:
        raise InputError(f"'{repository}' has no guarded model: write one with 'tokenward deploy triton'")
    packages = [f"numpy=={NUMPY}", f"tokenizers=={version('tokenizers')}"]
    if any("graph" not in config.parameters for config in guarded.values()):
        packages.append(f"onnxruntime=={ONNXRUNTIME}")
    return {
        "repository": str(repository.resolve()),
        "models": list(guarded),
        "matching": "|".join(re.sub(r"[^A-Za-z0-9_-]", r"\\\\\g<0>", name) for name in guarded),  # in a PromQL string
        "packages": packages,
        "probe": ["python3", "/opt/tokenward/probe.py", *guarded],
        # A server with much to do answers late: that must cost it requests, not its life, or the others follow it.
        "alive": ["python3", "/opt/tokenward/probe.py", *guarded, "--alive", "--seconds=60"],
        "server": ["tritonserver", "--model-repository=/models", "--disable-auto-complete-config"],
    }


def _config(path: Path) -> Any:
    text_format = require("google.protobuf.text_format", "triton")
    try:
        message = require("tritonclient.grpc.model_config_pb2", "triton").ModelConfig()
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' is not a Triton model configuration: {error}") from error


def _render(folder: Path, values: dict[str, Any]) -> None:
    """Templates end in ``.j2``; everything else is copied as it is."""
    jinja = require("jinja2", "triton")
    environment = jinja.Environment(
        loader=jinja.FileSystemLoader(TEMPLATES), undefined=jinja.StrictUndefined, keep_trailing_newline=True
    )
    for source in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        name = source.relative_to(TEMPLATES)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".j2":
            text = environment.get_template(name.as_posix()).render(values)
            (folder / name).with_suffix("").write_text(text, encoding="utf-8")
        else:
            shutil.copyfile(source, folder / name)
