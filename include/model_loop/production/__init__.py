"""What a deployment needs once: secrets, databases, the bucket, logins."""
