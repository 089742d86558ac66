"""The code of the README and of the site runs: every block of Python, and every command is parsed, and run where cheap.

Blocks of a page share their names, as a reader has it who types them one after the other. The tutorials' cells are run
by the build of the site (test_site.py).
"""

from __future__ import annotations

import csv
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import typer

import families
import tiny
from narrows.cli import app
from narrows.methods import registry
from narrows.models.hub import loading
from narrows.models.hub.loading import load_model
from narrows.run import ExplainSettings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
ADVERBS = ("", "very ", "not ", "so ")
ADJECTIVES = ("good", "bad", "dull", "superb", "witty", "tired", "gorgeous", "hollow", "warm")
TEXTS = [f"The film is {adverb}{adjective}." for adverb in ADVERBS for adjective in ADJECTIVES]
LABELS = ("negative", "positive", "neutral")

# Commands that are parsed and not run, and what runs them.
NOT_RUN = {
    "serve": "tests/cli/test_serve.py",
    "finetune": "tests/cli/test_finetune.py and a tutorial",
    "calibrate": "the Python of how-to/own_model.md",
    "sweep": "tests/cli/test_evaluations.py",
    "merge": "tests/cli/test_runs.py",
}
HOURS = ("reproduction.md",)  # its commands are the experiments: tests/test_reproduction.py
# What only stands for something of the reader's: a file, a folder, a data set, a cluster, another run.
PLACEHOLDER = re.compile(r"\.\.\.|\b(DATA|M|PROMPT|FILE|ray|shared|mine\.safetensors|runs/old)\b")


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """The fenced blocks of a page: number of the line before the code, language, code."""
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield text[: found.start(3)].count("\n"), found[2], found[3]


def python_of(page: Path) -> list[tuple[int, str]]:
    return [(line, code) for line, language, code in blocks(page) if language == "python"]


def shell_of(page: Path) -> list[str]:
    """The lines of a page that are typed into a shell, fenced or indented, without what goes on in the next line."""
    text = page.read_text(encoding="utf-8")
    fenced = [code for _, language, code in blocks(page) if language in ("sh", "bash")]
    indented = re.findall(r"^    (.*)$", FENCE.sub("", text), re.MULTILINE)
    lines = "\n".join([*fenced, *indented]).replace("\\\n", " ").splitlines()
    return [re.sub(r"^.* -- +(?=narrows )", "", line).strip() for line in lines]


def commands_of(page: Path) -> list[str]:
    return [line for line in shell_of(page) if line.startswith("narrows ")]


WITH_PYTHON = [page for page in PAGES if python_of(page)]
WITH_COMMANDS = [page for page in PAGES if commands_of(page)]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def run_of(page: Path) -> list[str]:
    """The commands of a page that are run."""
    return [
        command
        for command in commands_of(page)
        if page.name not in HOURS and command.split()[1] not in NOT_RUN and not PLACEHOLDER.search(command)
    ]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of tiny random models, which stand for the language model `lm`, for `gpt2`, and for the reader's own."""
    folder = tmp_path_factory.mktemp("models")
    vocabulary = len(families.tokenizer("pieces"))
    model, tokenizer = families.of_task("Llama", "ForCausalLM", vocab_size=vocabulary, max_position_embeddings=1024)
    tokenizer.model_max_length = 1024
    for name in ("lm", "gpt2"):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    model, tokenizer = tiny.classifier("bert", 0)
    model.config.id2label = dict(enumerate(LABELS))
    model.config.label2id = {label: place for place, label in enumerate(LABELS)}
    model.save_pretrained(folder / "my-model")
    tokenizer.save_pretrained(folder / "my-model")
    return folder


@pytest.fixture
def here(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the files that the pages take for granted."""
    for name in ("gpt2", "my-model"):
        (tmp_path / name).symlink_to(stand_ins / name)
    for name in ("my.csv", "reviews.csv"):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            rows = zip(TEXTS[:16], LABELS[:2] * 8, strict=True)
            csv.writer(file).writerows([("text", "label"), *rows])
    fetched = SimpleNamespace(folder=lambda: stand_ins / "lm", task="text-generation", prior=None)
    monkeypatch.setattr(loading, "find_fetched", lambda name: fetched if name == "lm" else None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pages take for granted in Python: the names of a module, which forgets methods that it registers."""
    monkeypatch.setattr(registry, "_ADDED", {})
    monkeypatch.setitem(sys.modules, "page", page := ModuleType("page"))
    loaded = load_model("sentiment")
    page.model, page.tokenizer, page.classifier = loaded.model, loaded.tokenizer, loaded  # type: ignore[attr-defined]
    page.texts, page.text = TEXTS, "The plot is thin, but the acting is superb."  # type: ignore[attr-defined]
    page.settings = ExplainSettings(model="sentiment")  # type: ignore[attr-defined]
    return vars(page)


def test_there_is_something_to_run() -> None:
    """A collector that finds nothing would pass every other test of this file."""
    assert sum(len(python_of(page)) for page in PAGES) >= 41
    assert sum(len(commands_of(page)) for page in PAGES) >= 30
    assert sum(len(run_of(page)) for page in PAGES) >= 15
    cells = [code for page in PAGES for _, language, code in blocks(page) if language == "{code-cell}"]
    assert len(cells) >= 19


def test_a_block_says_what_it_is_written_in() -> None:
    known = {
        "python",
        "sh",
        "text",
        "math",
        "bibtex",
        "{code-cell}",
        "{eval-rst}",
        "{generated}",
        "{toctree}",
        "{image}",
    }
    for page in PAGES:
        for line, language, _ in blocks(page):
            assert language in known, f"{named(page)}:{line}: a block of {language or 'nothing'}"


@pytest.mark.filterwarnings("ignore::narrows.errors.NarrowsWarning")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=named)
def test_the_python_of_a_page_runs(page: Path, here: Path, names: dict[str, Any]) -> None:
    for line, code in python_of(page):
        exec(compile("\n" * line + code, str(page), "exec"), names)


def parse(command: str) -> None:
    """Let the parser of the command line read a command; nothing is run."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("narrows", [], resilient_parsing=True)
    _, name, *words = shlex.split(command.replace(" ... ", " --data D --out O "), comments=True)
    assert name in group.list_commands(context), f"there is no command {name}"
    group.get_command(context, name).make_context(name, words, parent=context)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=named)
def test_the_commands_of_a_page_are_parsed(page: Path, here: Path) -> None:
    for command in commands_of(page):
        try:
            parse(command)
        except Exception as error:
            raise AssertionError(f"{named(page)}: {command}: {error!r}") from error


@pytest.mark.filterwarnings("ignore::narrows.errors.NarrowsWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if run_of(page)], ids=named)
def test_the_commands_of_a_page_run(page: Path, here: Path) -> None:
    for command in run_of(page):
        code = app(shlex.split(command, comments=True)[1:], standalone_mode=False)
        assert not code, f"{named(page)}: {command}"


def test_a_wrong_option_is_noticed() -> None:
    with pytest.raises(Exception, match="--layers"):
        parse("narrows explain TEXT --layers 3")


def test_extras_targets_and_scripts_are_there() -> None:
    extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for where in NOT_RUN.values():
        assert not where.startswith("tests/") or (ROOT / where.split()[0]).is_file(), where
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for named_extras in re.findall(r'install "narrows\[([\w,]+)\]"', text):
            assert set(named_extras.split(",")) <= set(extras), f"{named(page)}: {named_extras}"
        for target in re.findall(r"`make ([\w-]+)", text):
            assert f"\n{target}:" in makefile, f"{named(page)}: make {target}"
        for script in re.findall(r"python ((?:benchmarks|docs|examples)/[\w/]+\.py)", text):
            assert (ROOT / script).is_file(), f"{named(page)}: {script}"
