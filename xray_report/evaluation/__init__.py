"""From a checkpoint to scores and a page that people can look at."""
