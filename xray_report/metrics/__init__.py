"""Scores of generated reports against references."""
