"""Studies, images, splits, batches and the feature cache."""
