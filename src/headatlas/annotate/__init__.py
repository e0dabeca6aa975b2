"""Make the steps of questions: written by a language model, judged, and reviewed by people."""
