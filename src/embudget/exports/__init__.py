"""Writing models: the sentence-transformers folder that training leaves, and what other runtimes load."""
