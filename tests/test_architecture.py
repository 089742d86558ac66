"""The shape of the source: imports run downward, modules stay small, nothing heavy is loaded unasked."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import narrows

SOURCE = Path(narrows.__file__).parent

# From the bottom to the top. A module imports only from lines above its own (and, in a package, from its neighbours).
ORDER = [
    "errors",
    "data",
    "bottleneck",
    "viz",
    "attribution",
    "attributions",
    "generation",
    "models",
    "methods",
    "explainer",
    "evaluation",
    "run",
    "app",
    "cli",
    "__main__",
]
LINES, BODY, PARAMETERS, DEPTH = 400, 60, 8, 2
HEAVY = ("transformers.models", "transformers.modeling_utils", "matplotlib", "peft")
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """The module's name without the package's: "models.split", "" for the package itself."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> Mapping[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


MODULES = sorted(modules())


def imported(node: ast.AST) -> Iterator[str]:
    """The modules of this package that an import statement names, without the package's name."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    for name in names:
        if name == "narrows" or name.startswith("narrows."):
            parts = name.split(".")[1:]
            while parts and ".".join(parts) not in modules():
                parts.pop()  # the name of a function or a class
            yield ".".join(parts)


def imports_of(name: str) -> set[str]:
    """All of them: at the top, under TYPE_CHECKING, in functions."""
    return {target for node in ast.walk(modules()[name]) for target in imported(node)} - {name}


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Functions of the module and methods of its classes that users may call; overloads have no body."""
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        for member in members:
            if not isinstance(member, Function) or member.name.startswith("_"):
                continue
            if "overload" not in map(ast.unparse, member.decorator_list):
                yield member


def find_cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """One cycle of a graph, or nothing."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph.get(node, ())):
            if cycle := visit(target, [*path, node]):
                return cycle
        done.add(node)
        return []

    return next((cycle for node in sorted(graph) if (cycle := visit(node, []))), [])


def test_there_is_something_to_look_at() -> None:
    assert {"", "errors", "bottleneck.channel", "explainer", "models.cut.split", "viz.terminal"} <= set(MODULES)
    assert "methods.method" in imports_of("explainer")
    assert imports_of("errors") == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_imports_run_downward_only(name: str) -> None:
    package = name.split(".")[0]
    assert package in ORDER, f"{name} has no place in the order"
    for target in imports_of(name) - {""}:
        other = target.split(".")[0]
        assert other == package or ORDER.index(other) < ORDER.index(package), f"{name} imports {target}"


@pytest.mark.parametrize("name", [name for name in MODULES if name])
def test_modules_take_only_the_version_from_the_facade(name: str) -> None:
    """Its other names are loaded when they are asked for, from above."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.ImportFrom) and node.module == "narrows":
            taken = {alias.name for alias in node.names if alias.name not in MODULES}
            assert taken <= {"__version__"}


def test_there_is_no_cycle_among_modules() -> None:
    assert find_cycle({name: imports_of(name) - {""} for name in MODULES if name}) == []


def test_there_is_no_cycle_among_packages() -> None:
    graph: dict[str, set[str]] = {}
    for name in filter(None, MODULES):
        package = name.split(".")[0]
        others = {target.split(".")[0] for target in imports_of(name) if target}
        graph.setdefault(package, set()).update(others - {package})
    assert find_cycle(graph) == []


def test_a_cycle_would_be_found() -> None:
    assert find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] not in ("cli", "__main__")])
def test_nothing_of_the_package_is_imported_inside_a_function(name: str) -> None:
    """The command line does, to start fast; the package's lazy names go through import_module."""
    for function in functions(modules()[name]):
        inside = [target for node in ast.walk(function) for target in imported(node)]
        assert not inside, f"{function.name} imports {inside}"
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
        loads = [call for call in calls if "import_module(" in ast.unparse(call) and "narrows" in ast.unparse(call)]
        assert not loads, f"{function.name} imports by name"


def test_there_is_no_dumping_ground() -> None:
    names = {part for name in MODULES for part in name.split(".")}
    assert not names & {"utils", "util", "helpers", "common", "misc", "tools"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short(name: str) -> None:
    path = SOURCE.joinpath(*name.split(".")).with_suffix(".py") if name else SOURCE / "__init__.py"
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES


@pytest.mark.parametrize("name", MODULES)
def test_the_body_of_a_function_is_short(name: str) -> None:
    for function in functions(modules()[name]):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert lines <= BODY, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("name", MODULES)
def test_a_function_takes_few_parameters(name: str) -> None:
    for function in functions(modules()[name]):
        if any(".command(" in ast.unparse(mark) for mark in function.decorator_list):
            continue  # the options of a command of the command line are its parameters
        given = function.args
        names = [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        names += [argument.arg for argument in (given.vararg, given.kwarg) if argument]
        count = len([argument for argument in names if argument not in ("self", "cls")])
        assert count <= PARAMETERS, f"{function.name} takes {count}"


@pytest.mark.parametrize("name", MODULES)
def test_keyword_arguments_are_typed_one_by_one(name: str) -> None:
    """**kwargs only with Unpack[...] or a ParamSpec, or where a block's forward is stood in for."""
    for function in functions(modules()[name]):
        if (kwarg := function.args.kwarg) and function.name != "forward":
            annotation = ast.unparse(kwarg.annotation) if kwarg.annotation else "nothing"
            assert annotation.startswith(("Unpack[", "P.kwargs")), f"{function.name}: **{kwarg.arg}: {annotation}"


def test_inheritance_is_shallow() -> None:
    bases = {
        node.name: [ast.unparse(base).split(".")[-1] for base in node.bases]
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }

    def depth(name: str) -> int:
        return 1 + max((depth(base) for base in bases[name] if base in bases), default=0)

    assert {name for name in bases if depth(name) > DEPTH} == set()


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_unpickled(name: str) -> None:
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & PICKLES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in PICKLES
            assert not (node.module == "torch" and "load" in {alias.name for alias in node.names})
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "torch.save", "torch.serialization.load")
            unsafe = [
                ast.unparse(keyword) for keyword in node.keywords if keyword.arg in ("allow_pickle", "weights_only")
            ]
            assert not unsafe, f"{called}({unsafe})"


@pytest.mark.parametrize("name", MODULES)
def test_whatever_is_public_says_what_it_does(name: str) -> None:
    tree = modules()[name]
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name
    for function in public_functions(tree):
        assert ast.get_docstring(function), function.name


def loaded_by(statement: str) -> set[str]:
    """The heavy modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*[name for name in sys.modules if name.startswith({HEAVY!r})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return {name for name in done.stdout.split() if any((name + ".").startswith(heavy + ".") for heavy in HEAVY)}


@pytest.mark.parametrize(
    "statement",
    [
        "import narrows",
        "import narrows; dir(narrows), narrows.__version__, narrows.NarrowsError",
        "import narrows.cli",
        "import narrows.attribution",
    ],
)
def test_importing_loads_no_model_code_and_no_plotting(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_what_is_heavy_would_be_seen() -> None:
    assert "matplotlib" in loaded_by("import matplotlib")


def test_every_name_of_the_facade_can_be_had() -> None:
    for name in narrows.__all__:
        assert getattr(narrows, name).__name__ == name
        assert name in dir(narrows)
    with pytest.raises(AttributeError, match="no attribute 'Explicator'"):
        _ = narrows.Explicator
