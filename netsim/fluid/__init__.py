"""Links and simulated time: flows that share links max-min fairly, and events between them."""
