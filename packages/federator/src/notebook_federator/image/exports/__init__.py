"""What others build or run our images with, as text: build contexts, a CI workflow, compose files."""
