"""What others build our images with, as text: build contexts, a CI workflow."""
