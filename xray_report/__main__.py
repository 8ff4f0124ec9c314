"""`python -m xray_report`: the console script."""

from xray_report.cli import main

main()
