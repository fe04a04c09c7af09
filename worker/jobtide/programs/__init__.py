"""Handlers that are programs, in any language."""
