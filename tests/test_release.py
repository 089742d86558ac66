"""What is published agrees: the version, the dependencies of the conda recipe, and what workflows and pages call."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from narrows import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "packaging" / "conda" / "recipe.yaml"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_version_is_the_same_wherever_it_stands() -> None:
    assert str(read(ROOT / "CITATION.cff")["version"]) == __version__
    assert read(RECIPE)["context"]["version"] == __version__
    assert f"version = {{{__version__}}}" in (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] in (__version__, "Unreleased")


def test_the_conda_recipe_asks_for_what_the_wheel_asks_for() -> None:
    declared = {each.name: str(each.specifier) for each in map(Requirement, project()["dependencies"])}
    declared |= {"python": project()["requires-python"], "pytorch": declared.pop("torch")}
    recipe = read(RECIPE)
    assert dict(line.split(" ", 1) for line in recipe["requirements"]["run"]) == declared
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"narrows = {project()['scripts']['narrows']}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_targets_and_files_that_are_there(path: Path) -> None:
    jobs = read(path)["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for command in commands:
        assert command.startswith(("make ", "python packaging/"))
        called = set(re.findall(r"[a-z]+(?:-[a-z]+)*", command.removeprefix("make ")))
        assert called & targets or (ROOT / command.split()[1]).is_file(), command


def test_the_classifiers_are_the_versions_of_python_that_are_tested() -> None:
    listed = re.findall(r"Python :: (3\.\d+)", " ".join(project()["classifiers"]))
    (suite,) = (job for job in read(ROOT / ".github" / "workflows" / "test.yml")["jobs"].values() if "strategy" in job)
    assert listed == suite["strategy"]["matrix"]["python"]


def test_no_address_of_a_person_is_in_the_tree() -> None:
    address = r"[a-z0-9._-]+@[a-z0-9-]+\.(com|org|net|io|de|ai)\b"
    found = subprocess.run(["git", "grep", "-lIE", address], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode > 1:
        pytest.skip("this is no checkout")
    assert found.stdout == ""
