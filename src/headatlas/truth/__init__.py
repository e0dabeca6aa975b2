"""Worlds whose truth is known: VLMs with planted heads, exact surgery, and the verification of both."""
