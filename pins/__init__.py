"""How the files that pin versions are made; the Makefile runs these modules."""
