"""`make docs`: the documentation as a site in build/site, from the same Markdown that a forge shows.

A version of the documentation is a tree of files: the checkout, or a tag. `tree` copies it, `sections` turns
docs/index.md into the site's sections, and `build` runs Sphinx over the copy, with every warning an error. `versions`
puts the versions side by side. docs/adr/2026-11-29-a-site-from-the-same-markdown.md says why it is Sphinx.
"""
