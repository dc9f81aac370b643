"""Damaged copies of the small model files, run through `qrank embed` and `qrank rerank`:

    python tests/fuzz_gguf.py [--minutes 10] [--seed 1]

Bytes of headers are flipped, numbers in them replaced, and files cut. Prints each run that was
neither right nor refused in a line; a status below 0 is a signal, as when llama.cpp aborts.
"""

from __future__ import annotations

import argparse
import random
import struct
import tempfile
import time
from collections import Counter
from pathlib import Path

import gguf
from forked import forked, trouble
from support import PARITY, clean_environment

import qrank.llama.embedder  # (loads llama.cpp once, before the children are made)
import qrank.llama.reranker  # noqa: F401

NUMBERS = (0, 1, 2, 3, 7, 255, 10**9, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


def changed(path: Path, chance: random.Random) -> bytes:
    """A copy with something wrong in its header, or cut."""
    reader = gguf.GGUFReader(path)
    header = int(min(tensor.data_offset for tensor in reader.tensors))
    data = bytearray(path.read_bytes())
    kind = chance.randrange(5)
    if kind == 0:
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(header)] ^= 1 << chance.randrange(8)
    elif kind == 1:  # most likely in the vocabulary
        form, most = chance.choice((("<I", 2**32 - 1), ("<Q", 2**64 - 1)))
        struct.pack_into(form, data, chance.randrange(4, header - 8), chance.choice(NUMBERS) & most)
    elif kind == 2:  # one value
        fields = [f for f in reader.fields.values() if len(f.types) == 1 and f.name[:5] != "GGUF."]
        part = chance.choice(fields).parts[-1]
        at = part.ctypes.data - reader.data.ctypes.data
        value = chance.choice(NUMBERS) & ((1 << 8 * part.nbytes) - 1)
        data[at : at + part.nbytes] = value.to_bytes(part.nbytes, "little")
    elif kind == 3:  # among the first keys, or the tensors
        low, high = chance.choice(((24, min(2500, header)), (max(24, header - 4000), header)))
        struct.pack_into(
            "<I", data, chance.randrange(low, high - 8), chance.choice(NUMBERS) & (2**32 - 1)
        )
    else:
        del data[chance.randrange(len(data)) :]
    return bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    found: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    sources = sorted(PARITY.glob("*.gguf"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = clean_environment(folder)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            source = chance.choice(sources)
            (folder / "m.gguf").write_bytes(changed(source, chance))
            words = ("embed", "--embed-model", "m.gguf")
            if "embed" not in source.name:
                words = ("rerank", "tea", "--rerank-model", "m.gguf")
            run = forked(folder, environment, *words, stdin=b"tea and water\nowls\n")
            statuses[run.returncode] += 1
            if said := trouble(run):
                asserted = [line for line in run.stderr.splitlines() if "GGML_ASSERT" in line]
                found[(asserted or [said])[-1][-120:]] += 1
                print(f"{statuses.total()}: {source.name}: {said[:200]} {asserted[:1]}", flush=True)
    print(f"seed {options.seed}: statuses {dict(statuses)}, {found.total()} wrong")
    for said, times in found.most_common():
        print(f"{times:>5}  {said}")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
