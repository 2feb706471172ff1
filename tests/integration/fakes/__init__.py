"""Stand-ins for the services behind filemux, as strict as the real ones."""
