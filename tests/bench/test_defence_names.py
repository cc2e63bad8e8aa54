"""Names that tell systems apart, whatever their folders are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tokenward.artifact import Artifact
from tokenward.bench.defence_names import defence_names, path_ends, told_apart
from tokenward.errors import InputError


def test_as_much_of_a_path_as_it_takes() -> None:
    paths = [Path(path) for path in ("a/guarded", "b/guarded", "other", "x/b/c/guarded", "y/b/c/guarded")]
    assert path_ends(paths) == ["a/guarded", "b/guarded", "other", "x/b/c/guarded", "y/b/c/guarded"]
    assert path_ends([Path("/models/a/guarded"), Path("late")]) == ["guarded", "late"]
    with pytest.raises(InputError, match="'a' is given twice"):
        path_ends([Path("b"), Path("a"), Path("c/../a")])


def test_names_that_differ_stay_as_they_are() -> None:
    paths = [Path("a/model"), Path("b/model"), Path("c/model")]
    assert told_apart(["ep", "badnets", "badnets"], paths) == ["ep", "badnets (b/model)", "badnets (c/model)"]


def test_artifacts_of_one_name_in_two_folders(lexicon_artifact: Artifact) -> None:
    two = [replace(lexicon_artifact, path=Path(folder) / "guarded") for folder in "ab"]
    assert defence_names(two) == ["tokenward fp32 (a/guarded)", "tokenward fp32 (b/guarded)"]
    assert defence_names(two[:1]) == ["tokenward fp32"]
