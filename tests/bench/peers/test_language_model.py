"""Perplexities against their definition, whatever the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenward.bench.peers import language_model
from tokenward.bench.peers.language_model import LanguageModel, load_language_model
from tokenward.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lexicon_tokenizer: Path) -> Path:
    path = tmp_path_factory.mktemp("lm")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(lexicon_tokenizer), bos_token="[CLS]")
    config = transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=40)
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def alone(folder: Path, text: str) -> float:
    """The perplexity of one text, token by token."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        logs = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return float(np.exp(-np.mean([logs[place, token].item() for place, token in enumerate(ids[1:])])))


def test_perplexities_are_those_of_each_text_alone(
    folder: Path, clean_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language_model, "TOKEN_BUDGET", 64)
    texts = [*clean_texts[:9], "cf", "film film, cf."]
    found = load_language_model(folder).perplexities(texts)
    np.testing.assert_allclose(found, [alone(folder, text) for text in texts], rtol=1e-4)


def test_long_and_empty_texts(folder: Path) -> None:
    model = load_language_model(folder)
    long, cut, empty = model.perplexities(["film " * 100, "film " * 39, ""])
    assert long == pytest.approx(cut)
    assert empty == np.inf
    assert len(model.perplexities([])) == 0


def test_without_a_start_the_first_token_is_not_predicted() -> None:
    class Uniform(torch.nn.Module):  # type: ignore[misc, name-defined]
        config = transformers.GPT2Config(n_positions=8)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return transformers.modeling_outputs.CausalLMOutput(logits=torch.zeros(*input_ids.shape, 7))

    model = LanguageModel(Uniform(), lambda texts: [[1] * len(text) for text in texts], None, "uniform")
    np.testing.assert_allclose(model.perplexities(["ab", "abc", "a"]), [7, 7, np.inf])


def test_no_language_model(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="no language model at"):
        load_language_model(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="cannot be loaded as a causal language model"):
        load_language_model(tmp_path)
