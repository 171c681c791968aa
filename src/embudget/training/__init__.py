"""Contrastive fine-tuning within a compute budget: loss, batching, schedule, budget stop, trainer and export."""
