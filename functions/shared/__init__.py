"""What more than one function needs. Functions import this package and never each other."""
