"""The console script `xray-report`: everything but training and evaluation."""

from __future__ import annotations

import importlib

import typer

from xray_report.errors import one_line_errors
