"""A small VLM around the pretrained language model SmolLM2-135M-Instruct."""
