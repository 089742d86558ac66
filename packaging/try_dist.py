"""Try the wheel in dist/ as a stranger has it: fresh environments, another folder, the core alone and then each extra.

    python packaging/try_dist.py             # each environment is installed from a registry
    python packaging/try_dist.py --borrow    # or linked to what this Python has, and only to what the wheel declares
    python packaging/try_dist.py demo plot   # these extras alone; "core" is none

Borrowing takes no network, and still sees a dependency that is used and not declared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

DIST = Path(__file__).parents[1] / "dist"
LIMITS = {"*.whl": 12_000_000, "*.tar.gz": 3_000_000}
MAKE = Path(__file__).with_name("own_model.py")
EXPLAIN = "narrows explain 'the film is very good.' --model model"
FILE = "narrows explain --file texts.csv --model model --prior instance"
EXPORT = "import narrows as n; n.Explainer.from_pretrained('model', prior='instance')('a good film').export('map.pdf')"
# What is run with each extra, in a folder with a tiny model of the user's own.
TRIED = {
    "core": [
        "narrows --version",
        "narrows methods",
        f"{EXPLAIN} --prior instance --html map.html",
        "narrows calibrate --model model --data texts.csv --out mine.safetensors",
        f"{EXPLAIN} --prior mine.safetensors --json",
        f"{FILE} --out maps.jsonl",
    ],
    "demo": ["narrows explain 'The plot is thin, but the acting is superb.'"],
    "lm": ["python -c 'import accelerate, gguf, narrows.models.hub.gguf_file'"],
    "finetune": ["narrows finetune --base model --dataset texts.csv --out tuned --epochs 1"],
    "parquet": [f"{FILE} --out maps.parquet"],
    "evaluate": [
        "narrows evaluate --model model --dataset texts.csv --limit 4 --methods fast,lime,random --out evaluated"
    ],
    "run": ["narrows run --model model --data texts.csv --limit 8 --out run", "narrows inspect run"],
    "ray": ["python -c 'import ray.data'"],
    "units": [f"{EXPLAIN} --prior instance --unit-of sentence"],
    "plot": [f'python -c "{EXPORT}"'],
    "app": ["python -c 'from narrows.app.server import make_app'"],
    "all": ["narrows models"],
}


def main() -> None:
    """Try each environment; stop at the first command that fails."""
    names = [name for name in sys.argv[1:] if name != "--borrow"] or list(TRIED)
    wheel = small_enough("*.whl")
    small_enough("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        said = message_from_bytes(archive.read(path))
    extras = set(said.get_all("Provides-Extra", []))
    if extras != set(TRIED) - {"core"}:
        sys.exit(f"the wheel has the extras {sorted(extras)}; try_dist.py tries {sorted(TRIED)}")
    for name in names:
        asked = {name} & extras
        with tempfile.TemporaryDirectory() as folder:
            python = environment(Path(folder) / "venv")
            if "--borrow" in sys.argv:
                pip("--python", str(python), "install", "--no-deps", str(wheel))
                requirements = [Requirement(each) for each in said.get_all("Requires-Dist", [])]
                link(requirements, asked, python)
            else:
                pip("--python", str(python), "install", f"{wheel}[{','.join(asked)}]")
            for command in [f"python '{MAKE}'", *TRIED[name]]:
                run(command, Path(folder), python)
        print(f"{name}: {len(TRIED[name])} commands ran", flush=True)


def small_enough(pattern: str) -> Path:
    """Find the one file of this kind in dist/, and see that it is not too large."""
    found = list(DIST.glob(pattern))
    if len(found) != 1:
        sys.exit(f"{DIST} should have one {pattern}, and has {len(found)}: make dist")
    size = found[0].stat().st_size
    print(f"{found[0].name}: {size / 1e6:.1f} MB")
    if size > LIMITS[pattern]:
        sys.exit(f"{found[0].name} has more than {LIMITS[pattern] / 1e6:.0f} MB")
    return found[0]


def environment(folder: Path) -> Path:
    """Make an empty environment and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def pip(*arguments: str) -> None:
    """Have pip do something, quietly."""
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def link(requirements: list[Requirement], extras: set[str], python: Path) -> None:
    """Link what these requirements need, and what that needs in turn, into an environment."""
    (site,) = (python.parents[1] / "lib").glob("python*/site-packages")
    for name in sorted(needed(requirements, extras, set())):
        found = distribution(name)
        for top in {Path(file).parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())


def needed(requirements: list[Requirement], extras: set[str], seen: set[str]) -> Iterator[str]:
    """Name the distributions that these requirements ask for, with what those ask for; each once."""
    for requirement in requirements:
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        key = f"{requirement.name}{sorted(requirement.extras)}"
        if key in seen:
            continue
        seen.add(key)
        try:
            asked = distribution(requirement.name).requires or []
        except PackageNotFoundError:
            sys.exit(f"{requirement} is needed and not here to be borrowed")
        yield requirement.name
        yield from needed([Requirement(each) for each in asked], requirement.extras, seen)


def run(command: str, folder: Path, python: Path) -> None:
    """Run a command in a folder with an environment's programs first, and nothing of the tree in sight."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    surroundings |= {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    try:
        subprocess.run(command, check=True, cwd=folder, env=surroundings, shell=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as failed:
        sys.exit(f"failed: {command}\n{failed.stdout}{failed.stderr}")


if __name__ == "__main__":
    main()
