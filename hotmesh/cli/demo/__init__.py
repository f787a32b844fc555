"""What `hotmesh dev --demo` runs; `examples/seed/` holds the same model and workers."""
