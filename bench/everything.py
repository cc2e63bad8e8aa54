"""All benchmarks in one go, as the commands that a reader of the report can type again."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__
from ..checksums import file_sha256, weights_sha256
from ..errors import InputError, TokenwardError
from ..files import replace_text
from ..purify.checkpoint import base_encoder
from ..texts import LabelledTexts, read_labelled, stratified_split
from .peers.registry import PEERS

ATTACKS = ("badnets", "addsent")
GRAPHS = ("tokenward-fp32", "tokenward-int8", "late-fp32", "paper-fp32")
Part = str | Path | float

_CLEAN_TEXTS = 300
_CLEAN_SHARE = 0.3


class StepFailedError(TokenwardError):
    """A command of the run failed; what it said stands above."""


@dataclass(frozen=True)
class Step:
    """One command; where what it ``makes`` is there already, it was done before."""

    arguments: tuple[str, ...]
    makes: Path | None = None

    @property
    def command(self) -> str:
        """As one types it."""
        return shlex.join(("tokenward", *self.arguments))


@dataclass(frozen=True)
class Texts:
    """Files with labels; no text serves two purposes."""

    train: Path
    clean: Path
    test: Path


@dataclass(frozen=True)
class Training:
    """How the backdoored models are made; a learning rate of None is the attack's own."""

    model: str = "minilm"
    target: str = ""
    epochs: int = 1
    learning_rate: float | None = None
    max_length: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Effort:
    """How much is measured; the defaults keep a run on two cores under twenty minutes.

    Attributes:
        graphs: presets and precisions, such as ``paper-fp32``.
        rounds, seconds: timed runs of each system, and how long one should take.
        budget: seconds for scaling; 0 leaves it out.
        limit: most test texts.
        peers: other defences take part.
        lm: folder of a causal language model, for ONION.
    """

    graphs: tuple[str, ...] = GRAPHS
    rounds: int = 3
    seconds: float = 0.4
    budget: float = 120.0
    limit: int = 200
    peers: bool = True
    lm: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A backdoored checkpoint with its manifest, and artifacts of it that are there already, by graph."""

    model: Path
    artifacts: dict[str, Path]


def run_folder(work: Path, texts: Texts, training: Training) -> Path:
    """A folder of its own for the models that these texts and this training make.

    Raises:
        InputError: there is no such model.
        OSError: a file cannot be read.
    """
    sums = [file_sha256(path) for path in (texts.train, texts.clean, texts.test)]
    sums.append(weights_sha256(base_encoder(training.model)))
    return work / hashlib.sha256(json.dumps([sums, asdict(training), __version__]).encode()).hexdigest()[:12]


def own_texts(train: Path, test: Path, clean: Path | None, work: Path, seed: int) -> Texts:
    """The user's files; without clean texts of their own, some of the training texts are kept apart for calibration.

    Raises:
        InputError: a file cannot be read.
    """
    if clean is not None:
        return Texts(train, clean, test)
    data = read_labelled(train)
    held_out, learnt = stratified_split(data, min(_CLEAN_TEXTS / len(data), _CLEAN_SHARE), seed)
    work.mkdir(parents=True, exist_ok=True)
    return Texts(_write(learnt, work / "train.jsonl"), _write(held_out, work / "clean.jsonl"), test)


def attack_steps(texts: Texts, folder: Path, training: Training) -> list[Step]:
    """Plant the backdoors."""
    options = ("--model", training.model, "--epochs", training.epochs, "--max-length", training.max_length)
    rate: tuple[Part, ...] = ("--learning-rate", training.learning_rate) if training.learning_rate else ()
    seeded = (*rate, "--target", training.target, "--seed", training.seed)
    return [
        _step(
            "attack", attack, "--train", texts.train, *options, *seeded, "--out", folder / attack, makes=folder / attack
        )
        for attack in ATTACKS
    ]


def measuring_steps(
    subjects: Sequence[Subject], texts: Texts, folder: Path, results: Path, effort: Effort, seed: int
) -> list[Step]:
    """Guard each model with every graph, then measure: cost on the first alone, for its weights do not change cost.

    Raises:
        InputError: a graph is not named as a preset and a precision.
    """
    steps: list[Step] = []
    guarded: list[Path] = []
    for subject in subjects:
        made = {graph: folder / f"{subject.model.name}-{graph}" for graph in effort.graphs} | subject.artifacts
        for graph in effort.graphs:
            steps += [] if graph in subject.artifacts else _guard(subject.model, graph, made[graph], texts.clean)
        guarded += [made[graph] for graph in effort.graphs]
    first = guarded[: len(effort.graphs)]
    lm: tuple[Part, ...] = ("--lm", effort.lm) if effort.lm else ()
    pace: tuple[Part, ...] = ("--rounds", effort.rounds, "--seconds", effort.seconds, "--seed", seed)
    peers = lm if effort.peers else ("--no-peers",)
    timed = ("--model", subjects[0].model, "--texts", texts.test)
    steps.append(_step("bench", "overhead", *first, *timed, *pace, *peers, "--json", results))
    attacks: list[Part] = [part for subject in subjects for part in ("--attack", subject.model)]
    others = [part for peer in PEERS if effort.peers for part in ("--peer", peer)]
    measured: tuple[Part, ...] = (
        *attacks,
        *others,
        *lm,
        "--clean",
        texts.clean,
        "--limit",
        effort.limit,
        "--seed",
        seed,
    )
    steps.append(_step("bench", "quality", *guarded, "--test", texts.test, *measured, "--json", results))
    for subject, artifact in zip(subjects, guarded[:: len(effort.graphs)], strict=True):
        shown = ("--test", texts.test, "--attack", subject.model, "--seed", seed)
        steps.append(_step("bench", "examples", artifact, *shown, "--json", results))
    if effort.budget:
        steps.append(_step("bench", "scaling", "--budget", effort.budget, "--seed", seed, "--json", results))
    return steps


def run_steps(steps: Sequence[Step], run: Callable[[Step], int], tell: Callable[[str], None]) -> None:
    """Run commands one after the other; what was made before is not made again.

    Args:
        steps: what to do.
        run: does one and returns its exit code, such as :func:`in_process_of_its_own`.
        tell: told each command before it is run.

    Raises:
        StepFailedError: a command failed; those after it are not run.
    """
    for number, step in enumerate(steps, 1):
        done = step.makes is not None and step.makes.exists()
        tell(f"{number} of {len(steps)}{', done before' if done else ''}: {step.command}")
        if done:
            continue
        if code := run(step):
            raise StepFailedError(f"'{step.command}' failed with exit code {code}: see its own message above")


def in_process_of_its_own(step: Step) -> int:
    """Run a command as one would type it, with memory and threads that no other command has touched."""
    return subprocess.run([sys.executable, "-m", "tokenward", *step.arguments], check=False).returncode


def _guard(model: Path, graph: str, artifact: Path, clean: Path) -> list[Step]:
    preset, separator, precision = graph.rpartition("-")
    if not separator:
        raise InputError(f"--graph is '{graph}': give preset and precision, such as {GRAPHS[0]}")
    compared: tuple[Part, ...] = ("--texts", clean) if precision != "fp32" else ()
    options = ("--preset", preset, "--precision", precision, *compared, "--out", artifact)
    return [
        _step("export", model, *options, makes=artifact),
        _step("calibrate", artifact, "--clean", clean),  # again where the artifact is there: it may not have got so far
    ]


def _step(*arguments: Part, makes: Path | None = None) -> Step:
    return Step(tuple(f"{part:g}" if isinstance(part, float) else str(part) for part in arguments), makes)


def _write(texts: LabelledTexts, path: Path) -> Path:
    lines = (
        json.dumps({"text": text, "label": texts.label_names[label]}, ensure_ascii=False)
        for text, label in zip(texts.texts, texts.labels, strict=True)
    )
    replace_text(path, "\n".join(lines) + "\n")
    return path
