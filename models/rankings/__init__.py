"""What people said: ranking files, ordered pairs, their channel distances, splits."""
