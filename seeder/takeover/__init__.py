"""What others' systems hold, made into release directories: what is the same whoever the system is of."""
