"""Go programs, built from modules that are pinned here."""
