"""A rack of real nodes through everything that can go wrong: `swarmboot lab chaos` and `swarmboot lab soak`.

A row is a value and a function (`row`, `rows_*`); the rack it plays on is one for all (`rack`, `play`); what counts as
well done is decided without a socket (`verdict`). The hostile programs beside them (`proxy`, `liar`, `burner`,
`forger`) run in the lab's own namespaces and speak to nobody else.
"""
