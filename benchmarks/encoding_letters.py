"""Write qrank/ingest/letters.txt: how frequent letters and pairs of letters are in each language.

    python benchmarks/encoding_letters.py FOLDER...

The folders have translations (*.mo). The file in the repository was written from those of Django,
Wagtail, Sphinx and Jupyter's language packs (BSD), unpacked from their wheels. A line has a
language, the length (1: letters, 2: pairs), a cost (-log(probability) in quarters of a nat) and
the letters or pairs with that cost.
"""

from __future__ import annotations

import gettext
import math
import re
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from qrank.ingest.guess import LANGUAGES, UNSPACED, as_cp1258, letters

OUT = Path(__file__).parents[1] / "qrank" / "ingest" / "letters.txt"
SAME = {"pt_br": "pt", "pt_pt": "pt", "is_is": "is", "hr_hr": "hr", "no": "nb", "sk_sk": "sk"}
SAME |= {"zh_cn": "zh_hans", "zh_tw": "zh_hant", "id_id": "id", "es_ar": "es", "sr_latn": "sr_latn"}
SAME |= {"ja_jp": "ja", "ko_kr": "ko", "fr_fr": "fr"}
SAME |= {"tr_tr": "tr", "lv_lv": "lv", "lt_lt": "lt", "et_ee": "et", "ro_ro": "ro"}
_MARKUP = re.compile(r"<[^>]*>|%\(\w*\)?\w|%\w|\{[^}]*\}|&\w+;|https?:\S*")
LEAST, LEAST_PAIR = 2, 3  # rarer letters and pairs are left out


def texts(folders: list[str]) -> dict[str, list[str]]:
    """The translations by language."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.mo")):
            name = path.parts[-3].lower().replace("@", "_").replace("-", "_")
            name = SAME.get(name, name)
            if name not in LANGUAGES:
                continue
            with path.open("rb") as file:
                catalog = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            for key, text in catalog.items():
                if key and text != key:
                    found[name][_MARKUP.sub(" ", text)] = None
            if name == "fr":  # one language is enough: the originals are English in all
                found["en"] |= {
                    _MARKUP.sub(" ", key if isinstance(key, str) else key[0]): None
                    for key in catalog
                    if key
                }
    return {name: [*each] for name, each in found.items()}


def lines(name: str, translations: list[str]) -> list[str]:
    """The lines of one language."""
    text = "\n".join(translations)
    if name == "vi":
        text = as_cp1258(text)
    read = letters(text)
    ones = Counter(read)
    total = sum(ones.values())
    costs: dict[int, list[str]] = defaultdict(list)
    for letter, count in ones.items():
        if count >= LEAST:
            costs[_cost(count / total)].append(letter)
    if name not in UNSPACED:
        for (one, other), count in Counter(pairwise(read)).items():
            if count >= LEAST_PAIR and not (one.isascii() and other.isascii()):
                costs[_cost((count - 0.5) / ones[one])].append(one + other)
    result = []
    for cost, letters_and_pairs in sorted(costs.items()):
        for length in (1, 2):
            if joined := "".join(sorted(x for x in letters_and_pairs if len(x) == length)):
                result.append(f"{name}\t{length}\t{cost}\t{joined}")
    return result


def _cost(share: float) -> int:
    return max(1, round(-4 * math.log(share)))


def main() -> None:
    translations = texts(sys.argv[1:])
    for name in LANGUAGES:
        print(name, sum(map(len, translations.get(name, []))))
    rows = [line for name in LANGUAGES for line in lines(name, translations[name])]
    OUT.write_text("\n".join(rows) + "\n", "utf-8")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
