"""What the tests share: engines of a few lines, services, databases, pictures, clocks."""
