"""Chest X-ray report generation. Research software, not for clinical use."""

__version__ = "0.1.0"
