"""The strategies on simulated time: who loads what from whom, by the product's own decisions or as others do."""
