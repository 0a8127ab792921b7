"""How Sphinx builds the documentation: `make docs`. Nothing is fetched, neither here nor by who reads the site."""

from clpips import __version__

project = "CLPIPS"
copyright = "The CLPIPS authors"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3  # a heading is linked to as on GitHub: `learning.md#on-real-people`

html_theme = "furo"
html_title = "CLPIPS"
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}  # no link to a repository that a checkout does not know
