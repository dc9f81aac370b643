"""The small ModernBERT of tests/parity/modernbert as a folder in each layout that is published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from support import PARITY, write_safetensors

from qrank.models.convert.weights import weights

SOURCE = PARITY / "modernbert"
EXPECTED: dict[str, Any] = json.loads((SOURCE / "expected.json").read_text("utf-8"))


def publish(folder: Path, layout: str, pooling: str) -> Path:
    """Make the folder. layout: `classifier` (a sequence classifier of transformers), `modules` or
    `modules-tanh` (sentence-transformers), `embedder`; pooling: mean or cls."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        shutil.copyfile(SOURCE / name, folder / name)
    if layout == "classifier":
        change(folder / "config.json", classifier_pooling=pooling)
        return folder
    # A body without a head is published under names without a prefix.
    arrays = {
        name.removeprefix("model."): weight.values()
        for name, weight in weights(SOURCE).items()
        if name.startswith("model.")
    }
    write_safetensors(folder / "model.safetensors", arrays)
    change(folder / "config.json", architectures=["ModernBertModel"], classifier_pooling="cls")
    modules = SOURCE / ("modules" if layout == "embedder" else layout)
    listed = json.loads((modules / "modules.json").read_text("utf-8"))
    kept = listed[:2] if layout == "embedder" else listed
    (folder / "modules.json").write_text(json.dumps(kept), "utf-8")
    for module in kept[1:]:
        shutil.copytree(modules / module["path"], folder / module["path"])
    change(folder / "1_Pooling" / "config.json", pooling_mode=pooling)
    return folder


def change(path: Path, **fields: object) -> None:
    """Set fields of a JSON file; None takes one away."""
    held = json.loads(path.read_text("utf-8")) | fields
    path.write_text(json.dumps({k: v for k, v in held.items() if v is not None}), "utf-8")
