"""Make the parity fixtures of the BERT family: tiny random GGUF files, the reference's answers.

Sources of what is reproduced here:

- GGUF layout: llama.cpp ``conversion/bert.py`` (``BertModel``, ``XLMRobertaModel``) and, for the
  special tokens, ``gguf-py/gguf/vocab.py``. XLM-R's position rows up to the padding id are cut off.
- Heads: ``cls`` (dense, then tanh) and ``cls.output``. The converter drops BERT's pooler and names
  no pooling type for a classifier; here the pooler is ``cls`` and the type is RANK.
- Tokenizers: ``transformers`` ``tokenization_bert.py`` and ``tokenization_xlm_roberta.py``, their
  vocabularies cut from the cases. As in SentencePiece, text never matches ``<s>`` or ``</s>``.
- Character map of XLM-R (``nmt_nfkc``): NFKC by ``unicodedata``, the space and control rules of
  SentencePiece's ``builder.cc``, in the double array format of ``darts-clone``.
- Expected numbers: ``BertForSequenceClassification``, ``XLMRobertaForSequenceClassification`` of
  ``transformers``, float32, eager attention, one thread. All token types are 0, since llama.cpp has
  no others (``src/models/bert.cpp``). Embeddings: mean of all states (BERT), the first (XLM-R).

Run: ``python tests/parity/make_bert_fixtures.py --out tests/parity``, where ``bert_cases.json`` is
(needs torch, transformers, tokenizers, gguf and numpy; none of them is needed to use the fixtures).
"""

import argparse
import json
import math
import struct
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

SEED = 5  # of 1 to 8, one whose scores flash attention (in F16) moves little
LAYERS, DIMS, FFN, HEADS, CONTEXT, N_PIECES = 2, 48, 96, 3, 256, 1200
SPREAD = 1.2  # standard deviation of the logits
BERT_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
XLMR_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]  # the last one ends the vocabulary
HIDDEN = [chr(0xF0000 + i) for i in range(5)]  # their names in the reference: in no text
NOT_IN_VOCAB = set("超ß🙂👩👧👦✅½²")


def pieces_of(tok: Tokenizer, texts: list[str], inner: str) -> Counter[str]:
    """Choose and count ``N_PIECES`` parts of the words: every character, the weightiest others.

    ``inner`` is put before the parts that do not begin their word.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        normal = tok.normalizer.normalize_str(text)
        for word, _ in tok.pre_tokenizer.pre_tokenize_str(normal):
            for i in range(len(word)):
                for j in range(i + 1, min(len(word), i + 6) + 1):
                    counts[inner * (i > 0) + word[i:j]] += 1
    special = {*BERT_SPECIAL, *XLMR_SPECIAL}
    known = [p for p in counts if p not in special and not NOT_IN_VOCAB & set(p)]
    known.sort(key=lambda p: (len(p.removeprefix("##")) > 1, -counts[p] * len(p), p))
    return Counter({p: counts[p] for p in known[:N_PIECES]})


def bert_tokenizer(texts: list[str]) -> Tokenizer:
    """WordPiece, with the places of ``bert-base-uncased`` for the special tokens."""
    tok = Tokenizer(models.WordPiece(vocab={"[UNK]": 0}, unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokens = [f"[unused{i}]" for i in range(104)]
    for name, i in BERT_SPECIAL.items():
        tokens[i] = name
    vocab = {token: i for i, token in enumerate([*tokens, *pieces_of(tok, texts, "##")])}
    tok.model = models.WordPiece(vocab=vocab, unk_token="[UNK]", max_input_chars_per_word=100)
    return tok


def character_map() -> bytes:
    """Build SentencePiece's ``precompiled_charsmap`` (size, double array, replacements)."""
    rules: dict[str, str] = {}
    for char in (chr(c) for c in range(0x80, 0x10000) if not 0xD800 <= c < 0xF900):
        composed, parts = (unicodedata.normalize(form, char) for form in ("NFKC", "NFD"))
        if composed != char:
            rules[char] = composed
        if len(parts) > 1 and not 0xAC00 <= ord(char) < 0xD7A4:
            rules[parts] = composed
    rules |= {chr(c): "" for c in [*range(1, 9), 0xB, *range(0xE, 0x20), 0x7F, 0x8F, 0x9F]}
    spaces = [0x9, 0xA, 0xC, 0xD, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF]
    rules |= {chr(c): " " for c in spaces}
    trie: dict[int, Any] = {}
    text = bytearray()
    for key in sorted(rules):
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(text)  # no key holds a zero byte: the label of the end
        text += rules[key].encode() + b"\0"
    units: dict[int, int] = {0: 0}
    bases: set[int] = set()
    todo, first = [(0, trie)], 1
    while todo:
        at, node = todo.pop()
        while first in units:
            first += 1
        label = min(node)
        tries = (slot ^ label for slot in range(first, 1 << 20) if slot not in units)
        base = next(b for b in tries if b not in bases and not any(b ^ c in units for c in node))
        bases.add(base)
        units[at] |= (0 in node) << 8 | (at ^ base) << 10
        for c, child in node.items():
            units[base ^ c] = c if c else 1 << 31 | child
            if c:
                todo.append((base ^ c, child))
    array = np.zeros((max(units) | 255) + 1, dtype="<u4")
    array[list(units)] = list(units.values())
    return struct.pack("<I", array.nbytes) + array.tobytes() + bytes(text)


def xlmr_tokenizer(texts: list[str], charsmap: bytes) -> tuple[Tokenizer, list[tuple[str, float]]]:
    """Unigram with the log of each piece's share; also give the pieces with their scores."""
    tok = Tokenizer(models.Unigram())
    tok.normalizer = normalizers.Precompiled(charsmap)
    metaspace = pre_tokenizers.Metaspace()
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    counts = pieces_of(tok, texts, "")
    rng = np.random.Generator(np.random.PCG64(SEED))  # a little noise: no two ways weigh the same
    logs = np.log(list(counts.values())) - math.log(counts.total()) - rng.uniform(0, 0.01, N_PIECES)
    scored = [(p, float(np.float32(x))) for p, x in zip(counts, logs, strict=True)]
    vocab = [(name, 0.0) for name in HIDDEN[:4]] + scored + [(HIDDEN[4], 0.0)]
    tok.model = models.Unigram(vocab, unk_id=3, byte_fallback=False)
    return tok, scored


def make_model(family: str, n_vocab: int) -> Any:
    """Make a classifier with random weights; its body is the embedder.

    The attention is made sharp, so that the state of the first token depends on the text.
    """
    shape: dict[str, Any] = {"vocab_size": n_vocab, "hidden_size": DIMS, "intermediate_size": FFN}
    shape |= {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_labels": 1}
    model: Any
    if family == "bert":
        shape |= {"max_position_embeddings": CONTEXT, "layer_norm_eps": 1e-12}
        model = transformers.BertForSequenceClassification(transformers.BertConfig(**shape))
    else:
        shape |= {"max_position_embeddings": CONTEXT + 2, "layer_norm_eps": 1e-5}
        config = transformers.XLMRobertaConfig(**shape, type_vocab_size=1, pad_token_id=1)
        model = transformers.XLMRobertaForSequenceClassification(config)
    model.set_attn_implementation("eager")
    model.train(False)
    rng = np.random.Generator(np.random.PCG64(SEED))
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = rng.standard_normal(tuple(weight.shape), dtype=np.float32)
            if "LayerNorm.weight" in name:
                noise = 1.0 + 0.1 * noise
            elif name.endswith("bias"):
                noise *= 0.1
            elif "embeddings" in name:
                noise *= 1.0 if "word" in name else 0.3
            else:
                noise *= (2.0 if "query" in name or "key" in name else 1.0) * DIMS**-0.5
            weight.copy_(torch.from_numpy(noise))
    return model


def write_vocab(w: gguf.GGUFWriter, family: str, tok: Tokenizer, more: dict[str, Any]) -> None:
    """Write the tokenizer as ``conversion/bert.py`` does."""
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    if family == "bert":
        vocab = sorted(tok.get_vocab(), key=tok.get_vocab().__getitem__)
        names = [t if t in BERT_SPECIAL else "▁" + t for t in vocab]
        w.add_tokenizer_model("bert")
        w.add_tokenizer_pre("bert-bge")
        w.add_token_list([n.removeprefix("▁##") for n in names])
        w.add_token_types([control if t in BERT_SPECIAL else normal for t in vocab])
        w.add_token_type_count(2)
        w.add_bool("tokenizer.ggml.normalizer.lowercase", True)
        ids = [101, 102, 100, 102, 0, 103]
    else:
        pieces = more["pieces"]
        w.add_tokenizer_model("t5")
        w.add_tokenizer_pre("default")
        w.add_token_list([*XLMR_SPECIAL[:4], *(p for p, _ in pieces), XLMR_SPECIAL[4]])
        w.add_token_scores([0.0] * 4 + [s for _, s in pieces] + [0.0])
        w.add_token_types([control] * 3 + [2] + [normal] * len(pieces) + [control])  # 2: unknown
        w.add_token_type_count(1)
        w.add_add_space_prefix(True)
        w.add_remove_extra_whitespaces(True)
        w.add_precompiled_charsmap(more["charsmap"])
        ids = [0, 2, 3, 2, 1, len(pieces) + 4]
    for kind, i in zip(("bos", "eos", "unk", "sep", "pad", "mask"), ids, strict=True):
        getattr(w, f"add_{kind}_token_id")(i)
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    w.add_add_sep_token(family == "xlmr")  # a second separator between the two texts


def write_gguf(path: Path, family: str, tok: Tokenizer, model: Any, more: dict[str, Any]) -> None:
    """Write one file; its name tells whether it is the embedder or the reranker."""
    rank = path.stem.endswith("rank")
    w = gguf.GGUFWriter(path, "bert")
    w.add_name(f"qrank-parity-{path.stem}")
    w.add_file_type(gguf.LlamaFileType.ALL_F32)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(DIMS)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_layer_norm_eps(model.config.layer_norm_eps)
    w.add_causal_attention(False)
    if rank:
        w.add_pooling_type(gguf.PoolingType.RANK)
        w.add_classifier_output_labels(["LABEL_0"])
    else:
        w.add_pooling_type(gguf.PoolingType.MEAN if family == "bert" else gguf.PoolingType.CLS)
    write_vocab(w, family, tok, more)
    heads = {"bert.pooler.dense": "cls", "classifier.dense": "cls"}
    heads |= {"classifier": "cls.output", "classifier.out_proj": "cls.output"}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, LAYERS)
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if "position_embeddings" in name and family == "xlmr":
            array = array[2:]  # positions count from the padding id + 1
        layer, kind = name.rsplit(".", 1)
        target = heads.get(layer)
        if target is None:
            target = names.get_name(layer.removeprefix("bert.").removeprefix("roberta."))
            assert target is not None, name
        elif not rank:
            continue
        w.add_tensor(f"{target}.{kind}", np.ascontiguousarray(array))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def expected(family: str, tok: Tokenizer, model: Any, cases: dict[str, Any]) -> dict[str, Any]:
    """Ask the reference for its answers; first spread its scores by scaling the last layer."""
    bert = family == "bert"
    first, middle, last = ([101], [102], [102]) if bert else ([0], [2, 2], [2])
    body = model.bert if bert else model.roberta
    texts = cases["docs"] + cases["queries"]

    def ids(text: str) -> list[int]:  # no special token parsed in it and none added
        return list(tok.encode(text, add_special_tokens=False).ids)

    def logit(query: list[int], both: list[int]) -> float:
        first_text = len(query)
        types = [int(bert and i >= first_text) for i in range(len(both))]
        given = {"input_ids": torch.tensor([both]), "token_type_ids": torch.tensor([types])}
        return float(model(**given).logits[0, 0])

    def logits() -> list[float]:
        return [logit(start[q], both) for q, _, both in pairs]

    def embed(text: str) -> dict[str, Any]:
        states = body(torch.tensor([first + ids(text) + last])).last_hidden_state[0]
        unit = torch.nn.functional.normalize(states.mean(0) if bert else states[0], dim=-1)
        return {"text": text, "vec": [round(float(x), 7) for x in unit]}

    start = {q: first + ids(q) + middle for q in cases["queries"]}
    pairs = [(q, d, start[q] + ids(d) + last) for q in start for d in cases["docs"]]
    head = model.classifier if bert else model.classifier.out_proj
    rerank = []
    with torch.inference_mode():
        raw = np.array(logits())
        scale = SPREAD / float(raw.std())
        head.weight.mul_(scale)
        head.bias.sub_(float(raw.mean())).mul_(scale)
        for (query, doc, both), found in zip(pairs, logits(), strict=True):
            case = {"query": query, "doc": doc, "logit": round(found, 6)}
            score = round(1 / (1 + math.exp(-found)), 7)
            rerank.append(case | {"score": score, "n_tokens": len(both), "ids": both})
        tokens = [{"text": t, "ids": ids(t)} for t in texts]
        hard = [{"text": t, "ids": ids(t)} for t in cases[f"hard_{family}"]]
        vectors = [embed(t) for t in texts]
    return {
        f"{family}-embed": {"tokens": tokens, "tokens_hard": hard, "embed": vectors},
        f"{family}-rank": {"tokens": tokens, "rerank": rerank},
    }


def main() -> None:
    """Write the four GGUF files and ``bert_expected.json``."""
    parser = argparse.ArgumentParser(description="Make the parity fixtures of the BERT family.")
    parser.add_argument("--out", type=Path, required=True, help="where bert_cases.json is")
    out: Path = parser.parse_args().out
    torch.set_num_threads(1)
    cases = json.loads((out / "bert_cases.json").read_text(encoding="utf-8"))
    texts = [text for group in cases.values() for text in group]
    charsmap = character_map()
    unigram, scored = xlmr_tokenizer(texts, charsmap)
    more = {"charsmap": charsmap, "pieces": scored}
    answers: dict[str, Any] = {}
    for family, tok in (("bert", bert_tokenizer(texts)), ("xlmr", unigram)):
        model = make_model(family, tok.get_vocab_size())
        answers |= expected(family, tok, model, cases)
        for kind in ("embed", "rank"):
            write_gguf(out / f"{family}-{kind}.gguf", family, tok, model, more)
    (out / "bert_expected.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
