"""The `hotmesh` command. Nothing else in hotmesh imports it."""
