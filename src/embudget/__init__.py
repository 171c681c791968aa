"""embudget spends a compute budget on a text-embedding model optimally."""
