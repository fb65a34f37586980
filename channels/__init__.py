"""The channels outagecast can publish on: one flat module per kind."""
