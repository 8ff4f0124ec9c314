"""Encoder weights in the forms their authors published them: one file a format."""
