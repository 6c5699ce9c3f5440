"""Sphinx's configuration for the documentation (sphinx-doc.org, "Configuration"); `tests.docs` stages what it reads."""

from swarmboot import __version__

project = "swarmboot"
author = "the swarmboot developers"
release = version = __version__
extensions = ["myst_parser", "tests.docs.tables"]
root_doc = "index"
language = "en"
highlight_language = "text"
nitpicky = True
myst_heading_anchors = 6
html_theme = "furo"
html_title = "swarmboot"
html_static_path = ["static"]
html_css_files = ["swarmboot.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_theme_options = {"navigation_with_keys": True}
