"""What an operator asks of the table and changes in it: the same functions for `jobtide jobs` and for the page.

Every function takes a connection of session.py and returns frozen values with `to_json()`; nothing prints or logs.
"""
