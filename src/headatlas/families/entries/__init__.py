"""One file per group of related families; each registers its entries when imported."""
