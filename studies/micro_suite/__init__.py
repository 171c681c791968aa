"""The suite `micro`: four small language models, pre-trained from scratch."""
