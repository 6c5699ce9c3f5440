"""What a node is to the nodes near it: discovery on the LAN, documents and stage 0 over HTTP."""
