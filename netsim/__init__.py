"""The fleet before it exists: real leechers in shaped network namespaces (`netsim.lab`), and their simulation.

It imports the ground and the pure decisions of the parts it studies; it will not import their input and output, and
no other part imports it.
"""
