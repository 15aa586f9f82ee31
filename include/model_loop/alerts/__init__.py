"""What people are told: what an alert says, how it reads, and that it is told once and surely."""
