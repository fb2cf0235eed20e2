"""Commands. Every heavy import is inside its command, so that `--help` answers at once."""
