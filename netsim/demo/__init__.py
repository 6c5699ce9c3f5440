"""The demo: a rack of real leechers on this machine's loopback, and the sample release that they boot.

It runs the programs as an operator would, by their command lines, and imports neither seeder nor leecher. It shapes no
links and needs no root: measuring is the lab's work (`netsim.lab`).
"""
