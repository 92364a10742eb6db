"""Protocols and measurements that `omnidex bench` runs. Each returns a JSON object."""
