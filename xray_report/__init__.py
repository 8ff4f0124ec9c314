"""Chest X-ray report generation. Research software, not for clinical use."""

__version__ = "0.2.0"
