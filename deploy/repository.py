"""Write an artifact as models of a Triton repository: the graph, and the Python model that guards it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ..artifact import Artifact, load_artifact
from ..errors import InputError
from ..relabelling import relabelled
from ..runtime.judge import calibrated
from .config import LABELS_FILE, graph_config, guard_config, warmup_files, write_config
from .permissions import let_all_read
from .settings import TritonSettings, check_labels
from .sources import needed_modules

VERSION = "1"

_MODEL = '''"""A guarded text classifier; everything is in tokenward.deploy.served, shipped in this folder."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True  # a repository may be read-only, and polling servers watch it for changes
sys.path.insert(0, str(Path(__file__).parent))

from tokenward.deploy.served.model import TritonPythonModel  # noqa: E402, F401
'''


def write_repository(artifact_dir: str | Path, repository: str | Path, settings: TritonSettings) -> list[Path]:
    """Write the model ``settings.name`` (and its graph) into ``repository``, which may hold other models.

    Args:
        artifact_dir: a verified artifact, calibrated unless the mode is ``off``.
        repository: Triton's model repository; made where there is none.
        settings: the deployment's choices.

    Returns:
        The folders written, the model that clients call last.

    Raises:
        ArtifactError: the artifact is not sound, or not calibrated.
        InputError: a model of this name is there already, the labels do not fit, or the folder cannot be written.
    """
    artifact = _relabelled(load_artifact(artifact_dir), settings)
    if settings.mode != "off":
        calibrated(artifact)
    root = Path(repository)
    names = [settings.name] if settings.self_contained else [settings.graph_name, settings.name]
    for name in names:
        if (root / name).exists():
            raise InputError(f"'{repository}' has a model '{name}' already: choose another --name or remove it first")
    try:
        new = not root.exists()
        root.mkdir(parents=True, exist_ok=True)
        if new:
            let_all_read(root)
        part = Path(tempfile.mkdtemp(prefix=".tokenward.", dir=root))
    except OSError as error:
        raise InputError(f"cannot write to '{repository}': {error.strerror}") from error
    try:
        for name in names:
            (part / name / VERSION).mkdir(parents=True)
        _write_guard(part / settings.name, artifact, settings)
        if not settings.self_contained:
            _write_graph(part / settings.graph_name, artifact, settings)
            _write_warmups(part / settings.graph_name, artifact, settings)
        let_all_read(part)
        # The graph first: a server that polls then never sees the model that calls it alone.
        return [(part / name).rename(root / name) for name in names]
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _relabelled(artifact: Artifact, settings: TritonSettings) -> Artifact:
    if settings.labels is None:
        check_labels(artifact.labels)
        return artifact
    return relabelled(artifact, settings.labels)


def _write_graph(folder: Path, artifact: Artifact, settings: TritonSettings) -> None:
    write_config(graph_config(settings, artifact.guard.graph, len(artifact.labels)), folder / "config.pbtxt")
    for source in artifact.graph_files:
        shutil.copyfile(source, folder / VERSION / source.name)


def _write_guard(folder: Path, artifact: Artifact, settings: TritonSettings) -> None:
    write_config(guard_config(settings, len(artifact.labels)), folder / "config.pbtxt")
    (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in artifact.labels), encoding="utf-8")
    version = folder / VERSION
    (version / "model.py").write_text(_MODEL, encoding="utf-8")
    # Triton's stub compiles model.py before that says not to. With a file in the way it cannot keep the result, and a
    # server that polls sees no change that would make it load the model again.
    (version / "__pycache__").touch()
    for name, source in needed_modules("tokenward.deploy.served.model").items():
        target = version.joinpath(*name.split("."))
        target = target / source.name if source.name == "__init__.py" else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (version / "artifact").mkdir()
    for source in sorted(artifact.path.iterdir()):
        if settings.self_contained or source not in artifact.graph_files:
            shutil.copyfile(source, version / "artifact" / source.name)


def _write_warmups(folder: Path, artifact: Artifact, settings: TritonSettings) -> None:
    (folder / "warmup").mkdir()
    for name, content in warmup_files(settings, artifact.guard.graph).items():
        (folder / "warmup" / name).write_bytes(content)
