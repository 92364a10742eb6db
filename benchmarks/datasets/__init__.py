"""Published datasets read from a local folder, one module each. Nothing is ever downloaded."""
