"""Attacks × defences: every artifact on the attack it was exported from, and every peer on each checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..artifact import Artifact, load_artifact
from ..attacks.manifest import AttackManifest, load_manifest
from ..checksums import weights_sha256
from ..errors import InputError
from ..runtime.guard import load, tokenizer_of
from ..texts import LabelledTexts
from .bare_onnx import export_bare
from .defence_names import BARE, defence_names, told_apart
from .guarded import Guarded
from .peers.peer import Peer
from .peers.registry import PEERS, NotRunError, PeerName, PeerSetup, make_peer
from .quality import Observed, Trial, figure_intervals, figures, observe, trial_of, work
from .record import Better, Metric, Row

_BETTER: dict[str, Better] = {
    **dict.fromkeys(("cacc", "kept", "tpr", "tpr_at_5", "auc", "localised"), "higher"),
    **dict.fromkeys(("asr", "attributable", "fpr", "altered_clean", "second_passes"), "lower"),
}
_UNDEFENDED = ("cacc", "asr", "attributable", "kept")


@dataclass(frozen=True)
class Attacked:
    """One attack: what was planted, where, and the artifacts that defend against it.

    Attributes:
        name: of the attack in the rows.
        checkpoint: the folder that it was planted in; None where only the manifest was given.
    """

    name: str
    manifest: AttackManifest
    checkpoint: Path | None
    artifacts: tuple[Artifact, ...]


def pair_up(artifacts: Sequence[Path], attacks: Sequence[Path]) -> list[Attacked]:
    """Load artifacts and attacks and find which belong together: by checksum where there are several attacks.

    Raises:
        InputError: an artifact belongs to none of several attacks, or one of either is given twice.
        ArtifactError: an artifact or a manifest is damaged.
    """
    loaded = [load_artifact(path) for path in artifacts]
    manifests = [load_manifest(path) for path in attacks]
    folders = [path if any(path.glob("*.safetensors")) else None for path in attacks]
    sums = [weights_sha256(folder) if folder else None for folder in folders]
    for artifact in loaded if len(attacks) > 1 else ():
        if artifact.guard.checkpoint_sha256 not in sums:
            raise InputError(f"'{artifact.path}' was exported from none of the attacked checkpoints: measure it alone")
    names = told_apart([manifest.attack for manifest in manifests], attacks)
    found = [
        Attacked(
            name,
            manifest,
            folder,
            tuple(a for a in loaded if len(attacks) == 1 or a.guard.checkpoint_sha256 == weights),
        )
        for name, manifest, folder, weights in zip(names, manifests, folders, sums, strict=True)
    ]
    for attack in found:
        defence_names(attack.artifacts)  # what cannot be told apart is refused before anything is measured
    return found


def steps(attacked: Sequence[Attacked], peers: Sequence[PeerName]) -> int:
    """How often :func:`measure_grid` tells of progress, fewer for peers that are not run.

    Thrice for each defence, once more for each peer's calibration, and once for the graph that the peers share.
    """
    return sum(3 * len(attack.artifacts) + 4 * len(peers) + bool(peers) for attack in attacked)


def measure_grid(
    attacked: Sequence[Attacked],
    test: LabelledTexts,
    peers: Sequence[PeerName] = (),
    clean: Sequence[str] = (),
    language_model: Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Yield one row per attack and defence, the undefended model first; a peer whose needs are not met says so.

    Every figure has its 95 % bootstrap interval; scores of all texts are kept.

    Args:
        attacked: see :func:`pair_up`.
        test: labelled clean test texts, the same for all.
        peers: other defences to run on every attacked checkpoint.
        clean: what peers are calibrated on.
        language_model: for ONION.
        seed: of the bootstrap.
        progress: told what comes next, :func:`steps` times.

    Raises:
        InputError: peers but no clean texts or no checkpoint, labels that do not fit, or nothing to poison.
        ArtifactError: an artifact is not calibrated.
    """
    if peers and not clean:
        raise InputError("peers are calibrated on clean texts: give some hundred with --clean")
    for attack in attacked:
        if peers and not (attack.checkpoint and attack.artifacts):
            raise InputError(f"peers need the checkpoint of '{attack.name}' and an artifact of it: give both folders")
    for attack in attacked:
        undefended = True
        for name, defence, trial in _defences(attack, test, peers, clean, language_model, progress):
            if isinstance(defence, str):
                yield Row({"attack": attack.name, "defence": name}, not_run=defence)
                continue
            observed = observe(defence, trial, progress)
            if undefended:
                yield _undefended_row(attack.name, observed, seed)
                undefended = False
            yield _row(attack.name, name, defence, observed, trial, seed)


def _defences(
    attack: Attacked,
    test: LabelledTexts,
    peers: Sequence[PeerName],
    clean: Sequence[str],
    language_model: Path | None,
    progress: Callable[[str], None],
) -> Iterator[tuple[str, Peer | str, Trial]]:
    """Yield (name, defence or why it was not run, trial), one after the other so that few are in memory."""
    trial = None
    for name, artifact in zip(defence_names(attack.artifacts), attack.artifacts, strict=True):
        trial = trial_of(test, attack.manifest, artifact.labels)
        yield name, Guarded(load(artifact.path), name), trial
    if not peers or trial is None or attack.checkpoint is None:
        return
    tokenizer = tokenizer_of(attack.artifacts[0])
    with TemporaryDirectory() as folder:
        graph = Path(folder) / "bare.onnx"
        progress("exporting the bare model")
        export_bare(attack.checkpoint, graph)
        setup = PeerSetup(attack.checkpoint, graph, tokenizer, language_model, threads=0)
        for name in peers:
            try:
                peer = make_peer(name, setup)
            except NotRunError as error:
                yield PEERS[name], str(error), trial
                continue
            progress(f"{peer.name}: calibration")
            peer.fit(clean)
            yield peer.name, peer, trial


def _row(attack: str, name: str, defence: Peer, observed: Observed, trial: Trial, seed: int) -> Row:
    found, bounds = figures(observed), figure_intervals(observed, seed)
    metrics = {
        figure: Metric(value, *bounds[figure], unit="share", better=_BETTER.get(figure))
        for figure, value in found.items()
        if not np.isnan(value)
    }
    if defence.threshold is not None:
        metrics["threshold"] = Metric(defence.threshold)
    if isinstance(defence, Guarded):
        cold, warm = work(defence.guard, defence, trial.texts, observed)
        metrics |= {"work_cold": Metric(cold, unit="tokens/token"), "work_warm": Metric(warm, unit="tokens/token")}
    series = {
        side: tuple(scores.tolist()) for side, scores in zip(("clean", "triggered"), observed.scores, strict=True)
    }
    return Row({"attack": attack, "defence": name}, metrics, dict(defence.settings), series)


def _undefended_row(attack: str, observed: Observed, seed: int) -> Row:
    found, bounds = figures(observed), figure_intervals(observed, seed)
    metrics = {
        name: Metric(found[f"{name}_undefended"], *bounds[f"{name}_undefended"], unit="share", better=_BETTER[name])
        for name in _UNDEFENDED
        if not np.isnan(found[f"{name}_undefended"])
    }
    metrics["floor"] = Metric(found["floor"], *bounds["floor"], unit="share")
    return Row({"attack": attack, "defence": BARE}, metrics)
