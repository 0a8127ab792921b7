"""Admission control: keys, access, the door, deadlines, throughput."""
