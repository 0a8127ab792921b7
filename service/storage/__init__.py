"""What outlives a process: profiles, their versions and rankings, in SQLite or PostgreSQL. No image is ever stored."""
