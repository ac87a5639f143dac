"""Looking for known vulnerabilities in what the gateway is built of."""
