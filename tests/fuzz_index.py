"""Damaged and hostile copies of a small index, run through every command, for as long as wanted:

    python tests/fuzz_index.py [--minutes 10] [--seed 1]

First every column with every hostile value in a random order, a command each at random; half of
the copies have bytes flipped instead. Prints each run that was neither right nor refused in a line.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import hostile_index
from forked import forked, trouble
from support import clean_environment


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    found: Counter[str] = Counter()
    count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = clean_environment(folder)
        pristine = hostile_index.make(folder, environment)
        data = pristine.read_bytes()
        columns = hostile_index.columns(pristine)
        end = time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            index = hostile_index.copied(pristine, folder / "hostile.db")
            if chance.random() < 0.5:
                index.write_bytes(hostile_index.flipped(data, chance))
                what = "flipped"
            else:
                column, value = chance.choice(columns), chance.choice([*hostile_index.VALUES])
                one = chance.random() < 0.5
                what = f"{'.'.join(column)} = {value}{' in one row' if one else ''}"
                if not hostile_index.put(index, *column, hostile_index.VALUES[value], one=one):
                    continue
            changed = index.read_bytes()
            for words in chance.sample(hostile_index.COMMANDS, 3):
                hostile_index.copied(index, folder / "run.db").write_bytes(changed)
                count += 1
                if said := trouble(forked(folder, environment, *words, "--db", "run.db")):
                    found[said[:80]] += 1
                    print(f"{count}: {what}: {' '.join(words)}: {said[:300]}", flush=True)
    print(f"seed {options.seed}: {count} runs, {found.total()} wrong")
    for said, times in found.most_common():
        print(f"{times:>5}  {said}")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
