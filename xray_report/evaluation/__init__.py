"""From a checkpoint to scores and a page for people."""
