"""The shop itself: cards, orders, customers and the people who shop."""
