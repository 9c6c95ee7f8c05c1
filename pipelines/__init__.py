"""The one pipeline of RNN Migrator, its configuration, and what runs it."""
