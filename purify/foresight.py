"""What can be told of a training before it starts, from the model's config and the texts alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import transformers

from ..errors import InputError, first_line
from ..one_label import check_one_label
from ..positions import stated_positions, table_positions
from ..texts import LabelledTexts
from .checkpoint import base_encoder, classifier_folder, is_classifier, quiet_transformers, refuse_existing

USUAL_LENGTH = 128


def known_classes(model: str | Path, data: LabelledTexts) -> dict[int, str]:
    """The class names by number that a training of ``model`` on ``data`` has.

    A classifier's own; an encoder gets those of the data.

    Raises:
        InputError: there is no such model, or its answer is not one label.
    """
    folder = base_encoder(model)
    if is_classifier(folder):
        return own_classes(model)
    check_one_label(_config(folder).problem_type, None, model)
    return dict(enumerate(data.label_names))


def own_classes(model: str | Path) -> dict[int, str]:
    """The class names by number of a classifier.

    Raises:
        InputError: there is no such model, it is no classifier, or its answer is not one label.
    """
    config = _config(classifier_folder(model))
    check_one_label(config.problem_type, config.num_labels, model)
    return {int(number): str(name) for number, name in config.id2label.items()}


def check_classes(data: LabelledTexts, classes: Mapping[int, str]) -> None:
    """Find out whether texts are fit to train a model with these classes.

    Raises:
        InputError: a label is unknown to the model, or there is but one.
    """
    used = {*data.aligned_to(classes).labels}
    if len(used) < 2:
        raise InputError(
            f"the training texts are of only one class, '{classes[used.pop()]}': give texts of two or more"
            if used
            else "no texts to train on: give some of two classes or more"
        )


def fitting_length(model: str | Path, wanted: int | None) -> int:
    """Tokens per text: as wanted, else the usual number, or fewer where the model reads fewer.

    Raises:
        InputError: more are wanted than the model reads.
    """
    most = readable_length(model)
    if wanted is None:
        return USUAL_LENGTH if most is None else min(USUAL_LENGTH, most)
    if most is not None and wanted > most:
        raise InputError(f"max length {wanted}: '{model}' reads {most} tokens at most: give {most} or fewer")
    return wanted


def readable_length(model: str | Path) -> int | None:
    """Longest text in tokens, special ones included, that a model has positions for; None if it states none."""
    config, auto = _config(base_encoder(model)), cast("Any", transformers.AutoModel)
    try:
        with quiet_transformers(), torch.device("meta"):  # its shape without its weights
            module = auto.from_config(config, trust_remote_code=False)
    except Exception as error:  # the library's errors share no base class
        raise InputError(f"'{model}' cannot be loaded: {first_line(error)}") from error
    most = table_positions(module)
    if most is not None:
        return most
    return stated_positions(getattr(config, "max_position_embeddings", None))


def check_new_folder(out_dir: Path) -> None:
    """Find out before long work whether a folder can be made.

    Raises:
        InputError: it exists, or what it would lie in is no folder or cannot be written to.
    """
    check_place(out_dir)
    refuse_existing(out_dir)


def check_place(path: Path) -> None:
    """Find out before long work whether a file or folder can be made at ``path``, with the folders above it.

    Raises:
        InputError: what it would lie in is no folder, or cannot be written to.
    """
    place = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), path)
    if not place.is_dir():
        raise InputError(f"'{path}' cannot be made: '{place}' is not a folder; choose another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"'{path}' cannot be made: '{place}' is not yours to write to; choose another place")


def _config(folder: Path) -> Any:
    try:
        with quiet_transformers():
            return transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the library's errors share no base class
        raise InputError(f"'{folder}' cannot be loaded as a classifier: {first_line(error)}") from error
