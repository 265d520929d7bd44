"""The Processing algorithms, each a form for one georeg command."""
