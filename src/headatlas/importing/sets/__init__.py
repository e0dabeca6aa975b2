"""Importers of outside datasets, one file a set; each registers itself with `@importer(name)`."""
