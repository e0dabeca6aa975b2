"""The importers of outside datasets, one file per set. Each registers itself with `@importer(name, ...)`."""
