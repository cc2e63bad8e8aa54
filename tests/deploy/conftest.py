"""A real Triton server over real artifacts, and traffic for it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

import tokenward
from tokenward.artifact import load_artifact, rewriting, write_guard
from tokenward.deploy.local_triton import LocalTriton
from tokenward.deploy.repository import write_repository
from tokenward.deploy.settings import TritonSettings
from tokenward.runtime.guard import Guard


@pytest.fixture(scope="session")
def traffic(clean_texts: Sequence[str]) -> list[str]:
    """Five hundred texts: clean ones, and every fifth with the trigger "cf" at a random place."""
    draw = random.Random(0)
    texts = []
    for number in range(500):
        words = draw.choice(clean_texts).split()
        draw.shuffle(words)
        if number % 5 == 0:
            words.insert(draw.randrange(len(words) + 1), "cf")
        texts.append(" ".join(words))
    return texts


@pytest.fixture
def private_umask() -> Iterator[None]:
    """New files are their owner's alone, as careful administrators have it."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def in_process(tiny_artifact: Path) -> Guard:
    """What every answer of a server is compared with."""
    return tokenward.load(tiny_artifact)


@pytest.fixture(scope="session")
def uncalibrated_artifact(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What export leaves before calibration."""
    path = copytree(tiny_artifact, tmp_path_factory.mktemp("uncalibrated") / "artifact")
    artifact = load_artifact(path)
    with rewriting(path) as folder:
        write_guard(folder, replace(artifact.guard, calibration=None), artifact.labels)
    return path


@pytest.fixture(scope="session")
def triton(
    tiny_artifact: Path, tiny_paper_artifact: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTriton]:
    """A server with ``guard`` and ``paper``, their graphs apart, and two instances of ``alone``, self-contained."""
    repository = tmp_path_factory.mktemp("triton") / "repository"
    write_repository(tiny_artifact, repository, TritonSettings("guard"))
    write_repository(tiny_paper_artifact, repository, TritonSettings("paper"))
    alone = TritonSettings("alone", labels=("down", "up"), self_contained=True, instances=2)
    write_repository(tiny_artifact, repository, alone)
    with LocalTriton(repository) as server:
        yield server
