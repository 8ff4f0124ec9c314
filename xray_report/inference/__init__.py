"""The decoding protocol, its searches and the report generator."""
