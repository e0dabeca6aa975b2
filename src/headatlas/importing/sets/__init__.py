"""The importers of outside datasets, one file a set. Each registers itself with `@importer(name, ...)`."""
