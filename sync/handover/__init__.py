"""What a customer holds of a card: a label, a sheet of cards, a printer's file, a mail."""
