"""Client of the OCI distribution specification 1.1: pulling, pushing, mounting, referrers."""
