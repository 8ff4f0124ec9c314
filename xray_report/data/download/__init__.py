"""Fetching what anyone may fetch from its official source, and explaining the rest."""
