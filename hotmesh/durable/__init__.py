"""Code-first workflows: ordinary async functions that survive crashes."""
