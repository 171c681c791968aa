"""Sphinx: how the pages in this folder become the site. `make docs` builds it, with warnings as errors."""

import importlib.metadata
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # autodoc imports the package, and no page needs the network
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "embudget"
author = "the embudget authors"
release = importlib.metadata.version("embudget")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

default_role = "literal"  # the docstrings write `code` with one backtick, as Markdown does
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}  # how pydantic is set up is no business of a caller
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"embudget {release}"
html_copy_source = False
html_show_copyright = False  # the licence is in the repository; without a holder the footer would be empty
