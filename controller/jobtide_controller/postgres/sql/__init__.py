"""The controller's statements, each in a file of its own; `jobtide.sql.load` reads them."""
