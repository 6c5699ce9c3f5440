"""A rack in one machine: real programs in network namespaces, every link shaped, one number against the limit.

`run_strategy(plan)` in `netsim.lab.run.run` is the whole of it. `netsim.lab.rack` has its pure parts (plan, layout,
links, limit) and its thin input and output (namespaces, processes). The lab runs the seeder and the leecher as programs
and will not import them. It touches no interface, process or file that it did not make itself.
"""
