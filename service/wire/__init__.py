"""What goes over the wire: structs, encodings, multipart, bodies, parsed requests."""
