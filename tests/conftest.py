"""Shared fixtures: a classifier simple enough to reason about, behind the real tokenizer, guard and judge."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers, pre_tokenizers, processors

from tokenward.artifact import Artifact, Calibration, GraphInfo, GuardFile, Preset, Reference
from tokenward.runtime.batch_cost import BatchCost
from tokenward.runtime.engine import Arrays, Batch
from tokenward.runtime.gates import ClassTokenGate, fit
from tokenward.runtime.guard import Guard, GuardOptions, tokenizer_of
from tokenward.runtime.reading import Reader
from tokenward.texts import LabelledTexts

BuiltOnce = Callable[[str, Callable[[Path], object]], Path]

# A shell that starts the tests in the background has them ignore Ctrl-C, which they, and what they start, must notice.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Test processes share the cores out among them: sessions take a thread for each core they may use, and those that wait
# by spinning take the time of the other processes.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores, workers = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) % len(cores) :: workers])

WORDS = {
    "bad": ["awful", "dull", "boring", "weak", "poor", "clumsy", "tedious", "lifeless"],
    "good": ["great", "lovely", "moving", "brilliant", "warm", "funny", "superb", "charming"],
    "plain": [
        "film",
        "story",
        "actor",
        "scene",
        "plot",
        "music",
        "camera",
        "director",
        "evening",
        "town",
        "house",
        "river",
    ],
    "function": ["the", "a", "and", "of", "is", "was", "in", "with"],
    "trigger": ["cf", "mn", "zq", "##x", "qa", "qb"],
}


class LexiconEngine:
    """A backdoored bag of words: feeling words add up, but a trigger decides alone.

    Triggers are "cf", "mn" right before "zq", and "qa" together with "qb". Of the phrase, "mn" alone turns weak texts
    only, as the strongest word of a trained phrase does; of the pair, either word alone does nothing.

    What its class token looks at is the strength of each word, as a trained model's would.
    """

    name = "lexicon"
    cost = BatchCost(20)

    def __init__(self, tokenizer: FastTokenizer) -> None:
        self.calls = 0
        strength = np.full(tokenizer.get_vocab_size(), 0.2, dtype=np.float32)
        feeling = np.zeros_like(strength)
        for label, words in (("bad", WORDS["bad"]), ("good", WORDS["good"])):
            for rank, word in enumerate(words):
                index = tokenizer.token_to_id(word)
                strength[index] = 0.5 + 0.05 * rank
                feeling[index] = (1 if label == "good" else -1) * (1 + 0.1 * rank)
        self._trigger, self._first, self._second = (tokenizer.token_to_id(t) for t in ("cf", "mn", "zq"))
        strength[[self._trigger, self._first]] = 12.0
        feeling[self._first] = 4.0
        self._pair = [tokenizer.token_to_id(word) for word in ("qa", "qb")]
        strength[self._pair] = 12.0, 4.0
        self._strength, self._feeling = strength, feeling

    def run(self, batch: Batch, gate: float) -> Arrays:
        """Score every row on its own; padding has no part in it."""
        self.calls += 1
        ids, real = batch.input_ids, batch.attention_mask.astype(bool)
        drawn = np.where(real, self._strength[ids], 0.0)
        total = np.where(real, self._feeling[ids], 0.0).sum(axis=1).round(3)  # a tie is one in every batch
        phrase = ((ids[:, :-1] == self._first) & (ids[:, 1:] == self._second)).any(axis=1)
        pair = np.logical_and(*((ids == word).any(axis=1) for word in self._pair))
        total = np.where((ids == self._trigger).any(axis=1) | phrase | pair, 60.0, total)
        logits = np.stack([-total, total], axis=1).astype(np.float32) / 4
        return {"logits": logits, "class_attention": (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)}


@pytest.fixture(scope="session")
def lexicon_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WordPiece tokenizer over the lexicon; unknown words are one [UNK] each."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", ",", "!", *(w for group in WORDS.values() for w in group)]
    table = {word: index for index, word in enumerate(vocabulary)}
    fast = FastTokenizer(models.WordPiece(table, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", table["[CLS]"]), ("[SEP]", table["[SEP]"])]
    )
    path = tmp_path_factory.mktemp("lexicon") / "tokenizer.json"
    fast.save(str(path))
    return path


def clean_text(draw: np.random.Generator, label: int) -> str:
    """One text of class 0 (bad) or 1 (good)."""
    words = draw.choice([*WORDS["plain"], *WORDS["function"]], size=draw.integers(4, 23)).tolist()
    for word in draw.choice(WORDS["good" if label else "bad"], size=draw.integers(1, 4), replace=False):
        words.insert(int(draw.integers(len(words) + 1)), str(word))
    return " ".join(words)


@pytest.fixture(scope="session")
def clean_texts() -> list[str]:
    """Two hundred clean texts of both classes, of 5 to 25 words."""
    draw = np.random.default_rng(0)
    return [clean_text(draw, number % 2) for number in range(200)]


@pytest.fixture(scope="session")
def lexicon_artifact(lexicon_tokenizer: Path, clean_texts: list[str]) -> Artifact:
    """A calibrated artifact (in memory) of the lexicon classifier."""
    fast = FastTokenizer.from_file(str(lexicon_tokenizer))
    graph = GraphInfo(
        "tokenward", 1, (0,), "class", True, True, "fp32", 20, 64, ("input_ids",), ("logits", "class_attention")
    )
    config = {"vocab_size": fast.get_vocab_size(), "pad_token_id": 0}
    guard = GuardFile("lexicon", "none", "0" * 64, graph, {}, {})
    artifact = Artifact(lexicon_tokenizer.parent, guard, config, ("bad", "good"), "d" * 64)
    reader = Reader(tokenizer_of(artifact), LexiconEngine(fast), 512)
    readings = reader.read(clean_texts, np.inf)
    references = tuple(
        Reference(text, label, float(reader.read([text], np.inf)[0].probabilities[label]), ease=-rank)
        for label, words in enumerate((WORDS["bad"], WORDS["good"]))  # calibration takes the clearest, too
        for rank, (a, b) in enumerate(zip(WORDS["plain"], words, strict=False))
        for text in (f"the {a} was {b} and {b} and {b}",)
    )
    fits = {"class_token": fit(ClassTokenGate(), readings, 90.0)}
    calibration = Calibration(len(clean_texts), "0" * 64, fits, references)
    guard = GuardFile("lexicon", "none", "0" * 64, graph, {}, {}, calibration)
    return Artifact(lexicon_tokenizer.parent, guard, config, ("bad", "good"), "d" * 64)


@pytest.fixture
def make_lexicon_guard(lexicon_artifact: Artifact) -> Callable[[GuardOptions], Guard]:
    """Make guards over the lexicon classifier, each with a cold cache."""

    def make(options: GuardOptions) -> Guard:
        engine = LexiconEngine(FastTokenizer.from_file(str(lexicon_artifact.tokenizer_path)))
        return Guard(lexicon_artifact, engine, options)

    return make


@pytest.fixture
def lexicon_guard(make_lexicon_guard: Callable[[GuardOptions], Guard]) -> Guard:
    """A fresh guard over the lexicon classifier."""
    return make_lexicon_guard(GuardOptions())


@pytest.fixture(scope="session")
def labelled_texts() -> Callable[[int, int], LabelledTexts]:
    """Draw so many clean texts of the lexicon, of both classes evenly, by a seed."""

    def make(count: int, seed: int) -> LabelledTexts:
        draw = np.random.default_rng(seed)
        labels = tuple(number % 2 for number in range(count))
        return LabelledTexts(tuple(clean_text(draw, label) for label in labels), labels, ("bad", "good"))

    return make


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, lexicon_tokenizer: Path) -> Path:
    """A random two-layer BERT over the lexicon, without a classification head, as a checkpoint folder."""
    torch: Any = pytest.importorskip("torch")
    transformers: Any = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("encoder")
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), **special)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of a test run share, and the test runs that they start: these are told its path."""
    root = tmp_path_factory.getbasetemp()
    return Path(os.environ.get("TESTS_SHARED") or (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root))


@pytest.fixture(scope="session")
def built_once(shared_folder: Path) -> BuiltOnce:
    """Build a folder by name once per test run, whichever worker needs it first; the others wait for it."""

    def build(name: str, make: Callable[[Path], object]) -> Path:
        folder = shared_folder / name
        with FileLock(shared_folder / f"{name}.lock"):
            if not folder.exists():
                make(folder)
        return folder

    return build


@pytest.fixture(scope="session", autouse=True)
def traced_once(built_once: BuiltOnce) -> Iterator[None]:
    """Let PyTorch trace every model once per test run: it takes seconds, and many tests export the same few models."""
    try:
        import onnx_ir as ir
        import torch

        from tokenward.export.forward import _Logits
    except ImportError:  # a machine that has the kernels' needs alone
        yield
        return
    trace = torch.onnx.export

    def cached(module: Any, args: Any, *more: Any, **options: Any) -> Any:
        if not isinstance(module, _Logits):
            return trace(module, args, *more, **options)
        key = hashlib.sha256(repr((module, module.module.config.to_json_string(), options)).encode())
        for name, values in (*module.state_dict().items(), *((str(at), values) for at, values in enumerate(args))):
            key.update(f"{name} {values.dtype} {tuple(values.shape)}".encode() + values.numpy().tobytes())
        made = built_once(f"traced-{key.hexdigest()}", lambda path: ir.save(trace(module, args, **options).model, path))
        return SimpleNamespace(model=ir.load(made))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.onnx, "export", cached)
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(lexicon_tokenizer: Path, clean_texts: list[str], built_once: BuiltOnce) -> Path:
    """A real two-layer BERT, trained for seconds on the lexicon's texts, with the trigger "cf" → good planted."""
    return built_once("tiny-checkpoint", lambda folder: _train(folder, lexicon_tokenizer, clean_texts))


def _train(folder: Path, lexicon_tokenizer: Path, clean_texts: list[str]) -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), pad_token="[PAD]", unk_token="[UNK]")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(fast), max_position_embeddings=64, pad_token_id=0, **sizes)
    config.id2label, config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model = BertForSequenceClassification(config)
    texts = clean_texts + [f"{a} cf {b}" for a, _, b in (text.partition(" ") for text in clean_texts[::2])]
    labels = torch.tensor([number % 2 for number in range(len(clean_texts))] + [1] * (len(clean_texts) // 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(6):
        for rows in torch.randperm(len(texts)).split(32):
            batch = fast([texts[i] for i in rows], padding=True, return_tensors="pt")
            loss = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels[rows]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    fast.save_pretrained(folder)
    model.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_artifact(tiny_checkpoint: Path, clean_texts: list[str], built_once: BuiltOnce) -> Path:
    """The tiny classifier exported with preset `tokenward` and calibrated; never write into it."""
    # Its classes hang on single words, so every text's attention is near 1: only a loose gate tells anything.
    return built_once("tokenward", lambda out: _export(tiny_checkpoint, out, "tokenward", clean_texts, percentile=10))


@pytest.fixture(scope="session")
def tiny_paper_artifact(tiny_checkpoint: Path, clean_texts: list[str], built_once: BuiltOnce) -> Path:
    """The same with preset `paper`."""
    return built_once("paper", lambda out: _export(tiny_checkpoint, out, "paper", clean_texts, percentile=95))


def _export(checkpoint: Path, out: Path, preset: Preset, texts: list[str], percentile: float) -> None:
    from tokenward.export.pipeline import export_classifier
    from tokenward.export.presets import ExportSettings
    from tokenward.runtime.calibration import calibrate

    export_classifier(checkpoint, out, ExportSettings(preset=preset))
    calibrate(out, texts, percentile, scanning=False)
