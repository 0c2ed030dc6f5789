"""Traffic pattern prediction: series of a flow table, and what comes next in them."""
