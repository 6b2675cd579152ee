"""The Kubernetes edge: what the picker reads from an API server, and the Lease that it holds there."""
