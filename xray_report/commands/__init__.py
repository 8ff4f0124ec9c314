"""Commands of the console script, one module a subcommand, and what they share in `shared`.

They import what they need when they run, so that `--help` is fast.
"""
