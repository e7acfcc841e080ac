"""A lock, a slice and the site runtime, made into OCI images; no daemon, no root."""
