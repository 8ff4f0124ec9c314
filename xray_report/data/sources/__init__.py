"""Data sources: one module a collection, each a `StudySource`."""
