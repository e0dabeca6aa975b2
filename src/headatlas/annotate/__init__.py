"""Making steps for questions: written by a language model, judged, and reviewed by people."""
