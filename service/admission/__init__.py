"""Admission control: keys and access, the door, deadlines, throughput, and the reception that leads through them."""
