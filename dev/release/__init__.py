"""`make release`: everything that a release is, made of one tree, with the same bytes each time."""
