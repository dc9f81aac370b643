"""Make the parity fixtures of ModernBERT: a tiny random model as it is published, and the answers.

- Vocabulary: GPT-NeoX's (which ModernBERT's is made of), from llama.cpp's
  ``models/ggml-vocab-gpt-neox.gguf``, cut to its first entries, with ModernBERT's special tokens.
- ``model.safetensors``, ``config.json``, ``tokenizer.json``: written by ``transformers`` as
  ``ModernBertForSequenceClassification`` (the layout of gte-reranker-modernbert-base).
- ``modules``: the files that ``sentence-transformers`` writes beside the same body in the layout of
  the Ettin rerankers: pooling, Dense (GELU), LayerNorm, Dense. ``modules-tanh``: another head,
  which llama.cpp has no graph for.
- Expected numbers: ``transformers`` for the former, ``sentence-transformers`` for the latter and
  for embeddings; float32, eager attention, one thread, one text at a time.

Run: ``python tests/parity/make_modernbert_fixtures.py --vocab PATH/ggml-vocab-gpt-neox.gguf --out
tests/parity/modernbert`` (needs torch, transformers, sentence-transformers and gguf).
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from make_fixtures import DOCS, QUERIES
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedTokenizerFast,
)

SEED = 3
N_BASE = 1500
SPECIAL = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
SPACES = [" " * n for n in range(8, 1, -1)]  # user-defined tokens, as in the published vocabulary
LAYERS, DIMS, FFN, HEADS, CONTEXT, WINDOW = 4, 48, 96, 3, 2048, 16
SPREAD = 1.2  # standard deviation of the logits


def make_tokenizer(path: Path) -> Tokenizer:
    """ModernBERT's tokenizer over the cut vocabulary."""
    fields = gguf.GGUFReader(path).fields
    base: list[str] = fields["tokenizer.ggml.tokens"].contents()[:N_BASE]
    known = set(base)
    every: list[str] = fields["tokenizer.ggml.merges"].contents()
    merges = [tuple(m.split(" ")) for m in every if {*m.split(" "), m.replace(" ", "")} <= known]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(base)}, merges=merges))
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.add_tokens([AddedToken(t, normalized=False) for t in SPACES])
    tok.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL])
    marks = [(t, tok.token_to_id(t)) for t in ("[CLS]", "[SEP]")]
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=marks
    )
    return tok


def make_model(tok: Tokenizer) -> ModernBertForSequenceClassification:
    """A classifier with random weights; its attention is sharp, so that texts make a difference."""
    ids = {name: tok.token_to_id(token) for name, token in (("pad", "[PAD]"), ("sep", "[SEP]"))}
    config = ModernBertConfig(
        vocab_size=tok.get_vocab_size() + 4,  # rows without a token, as in the published model
        hidden_size=DIMS,
        intermediate_size=FFN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=CONTEXT,
        local_attention=WINDOW,
        global_attn_every_n_layers=3,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 160_000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        pad_token_id=ids["pad"],
        eos_token_id=ids["sep"],
        sep_token_id=ids["sep"],
        bos_token_id=tok.token_to_id("[CLS]"),
        cls_token_id=tok.token_to_id("[CLS]"),
        num_labels=1,
        classifier_pooling="mean",
    )
    model = ModernBertForSequenceClassification(config)
    model.set_attn_implementation("eager")
    model.train(False)
    rng = np.random.Generator(np.random.PCG64(SEED))
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = rng.standard_normal(tuple(weight.shape), dtype=np.float32)
            if "norm" in name:
                noise = 1.0 + 0.1 * noise
            elif name.endswith("bias"):
                noise *= 0.1
            elif "embeddings" not in name:
                noise *= (2.0 if "Wqkv" in name else 1.0) * weight.shape[1] ** -0.5
            weight.copy_(torch.from_numpy(noise))
    return model


def ids_of(tok: Tokenizer, *texts: str) -> list[int]:
    """[CLS] text [SEP], or a pair; special tokens are not parsed in the texts."""
    tok.encode_special_tokens = True
    cls, sep = tok.token_to_id("[CLS]"), tok.token_to_id("[SEP]")
    parts = [[*tok.encode(t, add_special_tokens=False).ids, sep] for t in texts]
    return [cls, *(i for part in parts for i in part)]


def features(ids: list[int]) -> dict[str, Any]:
    """What sentence-transformers' modules take."""
    return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids)).long()}


def spread(answers: dict[str, list[float]], head: torch.nn.Linear) -> None:
    """Scale the last layer so that the scores spread around one half."""
    raw = np.array([x for logits in answers.values() for x in logits])
    scale = SPREAD / float(raw.std())
    with torch.no_grad():
        head.weight.mul_(scale)
        if head.bias is not None:
            head.bias.sub_(float(raw.mean())).mul_(scale)


def save_modules(folder: Path, modules: list[Any], out: Path) -> CrossEncoder:
    """Keep the files that a CrossEncoder writes beside its body."""
    body = Transformer(str(folder), model_kwargs={"attn_implementation": "eager"})
    model = CrossEncoder(modules=[body, *modules])
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place, create_model_card=False)
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(place, out)
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (out / name).unlink()
    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)
    return model.eval()


def main() -> None:
    """Write the folder and ``expected.json``."""
    parser = argparse.ArgumentParser(description="Make the parity fixtures of ModernBERT.")
    parser.add_argument("--vocab", type=Path, required=True, help="ggml-vocab-gpt-neox.gguf")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    args = parser.parse_args()
    out: Path = args.out
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tok = make_tokenizer(args.vocab)
    model = make_model(tok)
    docs, queries = DOCS, QUERIES
    pairs = [(q, d, ids_of(tok, q, d)) for q in queries for d in docs]

    def by_classifier(pooling: str) -> list[float]:
        model.config.classifier_pooling = pooling
        return [float(model(torch.tensor([p[2]])).logits[0, 0]) for p in pairs]

    def rounded(logits: list[float]) -> list[dict[str, Any]]:
        return [
            {
                "query": q,
                "doc": d,
                "n_tokens": len(ids),
                "logit": round(x, 6),
                "score": round(1 / (1 + math.exp(-x)), 7),
            }
            for (q, d, ids), x in zip(pairs, logits, strict=True)
        ]

    rank: dict[str, list[dict[str, Any]]] = {}
    embed: dict[str, list[dict[str, Any]]] = {}
    with torch.inference_mode():
        spread({"mean": by_classifier("mean"), "cls": by_classifier("cls")}, model.classifier)
        for pooling in ("mean", "cls"):
            rank[f"classifier-{pooling}"] = rounded(by_classifier(pooling))
    model.config.classifier_pooling = "mean"
    model.save_pretrained(out)
    (out / "model.safetensors").chmod(0o644)
    PreTrainedTokenizerFast(
        tokenizer_object=tok,
        model_max_length=CONTEXT,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("unk", "cls", "sep", "pad", "mask")},
    ).save_pretrained(out)
    gelu = Dense(DIMS, DIMS, bias=False, activation_function=torch.nn.GELU())
    tanh = Dense(DIMS, DIMS, bias=True, activation_function=torch.nn.Tanh())
    norm = LayerNorm(DIMS)
    last = Dense(DIMS, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    with torch.no_grad():
        gelu.linear.weight.copy_(model.head.dense.weight)
        norm.norm.weight.copy_(model.head.norm.weight)
        norm.norm.bias.normal_(0, 0.3)
    heads = {"modules": [gelu, norm, last], "modules-tanh": [tanh, norm, last]}
    for name, head in heads.items():
        for pooling in ("mean", "cls"):
            modules = [Pooling(DIMS, pooling_mode=pooling), *head]
            encoder = save_modules(out, modules, out / name)

            def logits(encoder: CrossEncoder = encoder) -> list[float]:
                with torch.inference_mode():
                    return [float(encoder(features(p[2]))["scores"][0, 0]) for p in pairs]

            if name == "modules" and pooling == "mean":
                spread({name: logits()}, last.linear)
                encoder = save_modules(out, modules, out / name)
            rank[f"{name}-{pooling}"] = rounded(logits())
            plain = encoder.predict([(queries[0], docs[0])], activation_fn=torch.nn.Sigmoid())
            assert abs(float(plain[0]) - rank[f"{name}-{pooling}"][0]["score"]) < 1e-5
    for pooling in ("mean", "cls"):
        body = Transformer(str(out), model_kwargs={"attn_implementation": "eager"})
        sentences = SentenceTransformer(modules=[body, Pooling(DIMS, pooling_mode=pooling)]).eval()
        vectors = []
        for text in docs + queries:
            with torch.inference_mode():
                found = sentences(features(ids_of(tok, text)))["sentence_embedding"][0]
            unit = torch.nn.functional.normalize(found, dim=-1)
            vectors.append({"text": text, "vec": [round(float(x), 7) for x in unit]})
        embed[pooling] = vectors
    tokens = [{"text": t, "ids": ids_of(tok, t)} for t in docs + queries]
    answers = {"tokens": tokens, "embed": embed, "rank": rank}
    (out / "expected.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
