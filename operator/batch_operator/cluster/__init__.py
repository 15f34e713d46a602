"""Everything that talks to the API server or to the network: reads and writes, no decision about a job."""
