"""Importers of outside datasets, one file per set; each registers itself with `@importer(name, ...)`."""
