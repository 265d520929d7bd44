"""The command line of georeg: one file per command, shared options once."""
