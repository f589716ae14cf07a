"""`cxr data check`: what is missing or corrupt, by file, and what there is."""
