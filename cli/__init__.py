"""The `omnidex` command."""
