"""Report decoders, each behind the same protocol."""
