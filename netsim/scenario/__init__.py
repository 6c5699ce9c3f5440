"""What a simulation is about: the fleet, its network, its release and what befalls it, as values."""
