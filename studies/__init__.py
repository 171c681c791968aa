"""The published studies: their plans in YAML, the publishing of their results, the pre-training of the micro suite."""
