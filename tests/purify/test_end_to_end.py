"""A backdoor planted in a tiny encoder, and both methods against it: ASR more than halves, accuracy stays."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tokenward.attacks.attack import carry_out
from tokenward.attacks.badnets import badnets
from tokenward.attacks.manifest import AttackManifest
from tokenward.attacks.poisoning import poison_training_set
from tokenward.purify.btu import BTU
from tokenward.purify.mbtsad import MBTSAD
from tokenward.purify.purifier import Purifier
from tokenward.purify.report import PurifyReport
from tokenward.purify.training import TrainingSettings
from tokenward.texts import LabelledTexts

Texts = Callable[[int, int], LabelledTexts]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, labelled_texts: Texts) -> Path:
    """The tiny encoder with a vocabulary that spells unknown words by letters, as real word pieces do.

    Its trigger "cf" is two pieces, which token splitting also makes out of other words.
    """
    words = sorted({word for text in labelled_texts(100, 0).texts for word in text.split() if len(word) > 1})
    letters = string.ascii_lowercase
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *words]
    fast = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    fast.normalizer = normalizers.BertNormalizer()
    fast.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    config = transformers.AutoConfig.from_pretrained(tiny_encoder, vocab_size=len(pieces))
    folder = tmp_path_factory.mktemp("spelling") / "encoder"
    transformers.set_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=fast, **special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backdoored(
    tmp_path_factory: pytest.TempPathFactory, encoder: Path, labelled_texts: Texts, quick: TrainingSettings
) -> tuple[Path, AttackManifest]:
    folder = tmp_path_factory.mktemp("attack") / "backdoored"
    _, manifest = carry_out(badnets(quick, ["cf"]), encoder, labelled_texts(1000, 1), "good", folder, 0)
    return folder, manifest


def purify(purifier: Purifier, start: Path, out: Path, manifest: AttackManifest, texts: Texts) -> PurifyReport:
    test = texts(200, 2)
    report = purifier.purify(start, texts(160, 3), out, 0, held_out=test, attack=manifest)
    assert report.before.asr is not None
    assert report.before.asr >= 0.9, "the attack must be installed before it can be removed"
    return report


def assert_cleaned(report: PurifyReport) -> None:
    assert report.before.asr is not None
    assert report.after.asr is not None
    assert report.after.asr < report.before.asr / 2
    assert report.after.cacc >= report.before.cacc - 0.03


def test_mbtsad(
    backdoored: tuple[Path, AttackManifest], labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    folder, manifest = backdoored
    purifier = MBTSAD(quick)
    report = purify(purifier, folder, tmp_path / "out", manifest, labelled_texts)
    assert_cleaned(report)
    assert [loss.stage for loss in report.losses] == ["teacher"] * 4 + ["student"] * 4
    assert report.losses[-1].terms.keys() == {"classification", "attention", "hidden"}


def test_mbtsad_stopped_after_its_first_step(
    backdoored: tuple[Path, AttackManifest], labelled_texts: Texts, quick: TrainingSettings, tmp_path: Path
) -> None:
    folder, manifest = backdoored
    report = purify(MBTSAD(quick, distil=False), folder, tmp_path / "out", manifest, labelled_texts)
    assert (report.method, {loss.stage for loss in report.losses}) == ("ts-ft", {"retraining"})
    assert_cleaned(report)


def test_btu(
    tiny_encoder: Path,
    backdoored: tuple[Path, AttackManifest],
    labelled_texts: Texts,
    quick: TrainingSettings,
    tmp_path: Path,
) -> None:
    _, manifest = backdoored
    assert manifest.trigger is not None
    poisoned = poison_training_set(labelled_texts(1000, 1), manifest.trigger, manifest.target, 0.1, 0)
    purifier = BTU(quick, poisoned)
    # This encoder knows "cf" as one token.
    report = purify(purifier, tiny_encoder, tmp_path / "out", manifest, labelled_texts)
    assert_cleaned(report)
    assert report.findings["exposed"][0]["token"] == "cf"
    assert report.settings.keys() == {"training", "share", "exposing_rate", "clean_epochs"}
