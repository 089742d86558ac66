"""How Sphinx builds the site: everything offline, and a warning is an error (make docs)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Of the kernels that run the tutorials: tqdm misses widgets that nobody needs.
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
os.environ["COLUMNS"] = "80"  # of a terminal in them

from narrows import __version__  # noqa: E402 - after the path of the extension

project = "Narrows"
author = "The Narrows authors"
copyright = author
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "sphinx_design", "generated"]
exclude_patterns = ["_build"]
default_role = "code"  # what stands between single backticks in a docstring
smartquotes = False  # they turn --option into a dash
highlight_language = "none"  # of indented blocks; fenced ones name theirs

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["math"]  # as GitHub has it
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_output_stderr = "remove-warn"  # a tutorial that warns fails
math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = False
napoleon_use_rtype = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "Narrows"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
