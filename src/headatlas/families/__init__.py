"""What model families of transformers need that their own files do not say, one entry a family; `proof/` checks them."""
