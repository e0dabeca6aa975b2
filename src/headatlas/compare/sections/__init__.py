"""The sections of a comparison's page; every module here is imported when a page is built."""
