"""Drawn chest studies with known truth: anatomy, findings, pictures and reports."""
