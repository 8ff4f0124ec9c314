"""Cleaning, vocabulary and word vectors."""
