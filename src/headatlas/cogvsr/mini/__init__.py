"""`cogvsr-mini`: 100 questions of the source `scenes` with their pictures, which ship with HeadAtlas.

They do not change when the source does, so they serve for examples, tests and reproducible figures. The folder is an ordinary
dataset (`data/*.parquet` and its card), written by `make.py`. It is too small for conclusions: split E has 40 questions.
"""

from __future__ import annotations

from pathlib import Path

NAME = "cogvsr-mini"
FOLDER = Path(__file__).parent / "data"
N, SEED = 100, 2026
