"""What the site takes from the package: the help of the commands, the methods, the sources; and formulas as MathML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.highlighting import PygmentsBridge
from sphinx.util.docutils import SphinxDirective

from narrows.cli import app as narrows
from narrows.methods import describe, find_method, method_names
from narrows.methods.registry import settings_by_name
from narrows.methods.settings import is_required, write_setting

ROOT = Path(__file__).parents[1]
LANGUAGES = {".py": "python", ".md": "markdown"}  # of the files that pages link


def escaped(text: str) -> str:
    """Keep Markdown from reading a text as anything but words."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>|$#" else letter for letter in text)


def command_line() -> Iterator[str]:
    """Write of each command what its --help says."""
    group: Any = typer.main.get_command(narrows)
    context = group.make_context("narrows", [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        yield from _command(f"narrows {name}", command, own)
        for part in command.list_commands(own) if isinstance(command, typer.core.TyperGroup) else ():
            inner = command.get_command(own, part)
            made = inner.make_context(part, [], parent=own, resilient_parsing=True)
            yield from _command(f"narrows {name} {part}", inner, made)


def _command(name: str, command: Any, context: Any) -> Iterator[str]:
    yield f"## {name}\n\n{escaped(command.help)}\n"
    yield f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```\n"
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            yield f"`{record[0]}`\n: {escaped(record[1])}\n"


def methods() -> Iterator[str]:
    """Write of each method what `narrows methods` says, with its settings."""
    for name in method_names():
        settings = settings_by_name(name)
        needed = [f"{key}={key.upper()}" for key, own in settings.items() if is_required(own)]
        found = describe(find_method(":".join([name, *needed])))
        kind = [found["unit"], "signed" if found["signed"] else "never negative"]
        yield f"## {name}\n\n{escaped(found['caption'])} {escaped(found['how'])}\n"
        sums = "; scores add up to the rise of the log-odds from a typical text" if found["additive"] else ""
        yield f"Unit: {', '.join(kind)}{sums}.\n"
        yield "| setting | values | default | |\n|---|---|---|---|" if settings else "No settings."
        for key, own in settings.items():
            default = "must be given" if is_required(own) else f"`{write_setting(own.default)}`"
            yield f"| `{key}` | {escaped(own.type_text)} | {default} | {escaped(own.help)} |"
        yield ""


class Generated(SphinxDirective):
    """Put what one of these functions writes into a page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse it as Markdown."""
        write = {"command_line": command_line, "methods": methods}[self.arguments[0]]
        return self.parse_text_to_nodes("\n".join(write()), allow_section_headings=True)


def link_sources(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Turn links to files of the repository into links to pages that show them."""
    for link in list(doctree.findall(download_reference)):
        source = ROOT / "docs" / Path(page).parent / link["reftarget"]
        shown = os.path.relpath(source.resolve(), ROOT)
        app.env.narrows_sources.add(shown)  # type: ignore[attr-defined]
        address = app.builder.get_relative_uri(page, f"source/{shown}")
        link.replace_self(nodes.reference("", "", *link.children, refuri=address, internal=True))


def show_sources(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make a page for each file that is linked."""
    for shown in sorted(app.env.narrows_sources):  # type: ignore[attr-defined]
        path = ROOT / shown
        bridge = PygmentsBridge("html", app.config.pygments_style or "default")
        code = bridge.highlight_block(path.read_text(encoding="utf-8"), LANGUAGES.get(path.suffix, "none"), opts={})
        yield f"source/{shown}", {"title": shown, "body": f"<h2>{shown}</h2>{code}", "parents": []}, "page.html"


def write_math(self: Any, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers show without a script."""
    self.body.append(latex2mathml.tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    app.add_directive("generated", Generated)
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("builder-inited", lambda app: setattr(app.env, "narrows_sources", set()))
    app.connect("doctree-resolved", link_sources)
    app.connect("html-collect-pages", show_sources)
    return {"parallel_read_safe": False}
