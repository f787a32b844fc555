"""Durable runs as data: the records of a history, and what follows from them."""
