"""MIMIC-CXR (Johnson et al. 2019, Scientific Data 6:317): MIMIC-CXR-JPG's tables and images with
the free-text reports, or R2Gen's annotation.json.
"""
