# fish asks the installed program for its completion, which click makes, once a shell.
_SWARMBOOT_COMPLETE=fish_source swarmboot | source
