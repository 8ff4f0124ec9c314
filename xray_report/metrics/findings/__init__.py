"""A rule-based labeller of chest X-ray reports, and scores of generated reports by findings."""
