"""Stand-ins for what the operator talks to: the API server, the kubelet, time. Simulated time, no network."""
