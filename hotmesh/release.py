"""The version of this distribution."""

RELEASE = "0.1.0"
