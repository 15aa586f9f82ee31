"""One-time preparation of a deployment: secrets, databases, the bucket, logins."""
