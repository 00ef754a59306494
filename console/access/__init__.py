"""Who may do what on the broker and in the store, and the files that tell the servers so."""
