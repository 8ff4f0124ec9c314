"""The Indiana University / Open-i chest X-ray collection, in every form it is published in.

Demner-Fushman et al. 2016, "Preparing a collection of radiology examinations for distribution
and retrieval", JAMIA 23(2).
"""
