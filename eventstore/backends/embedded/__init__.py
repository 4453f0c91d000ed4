"""The embedded engine: SQLite files and a folder, shared by processes of one machine."""
