"""Thin handlers: read the request, ask the room that knows, put the answer on the wire."""
